package dev.otaro.android

import android.app.Activity
import android.app.Application
import dev.otaro.ErrorKind
import dev.otaro.OtaroException
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment

@RunWith(RobolectricTestRunner::class)
internal class BackgroundTest {
    private val application: Application = RuntimeEnvironment.getApplication()
    private val seen = mutableListOf<String>()

    private fun watch() = BackgroundWatch(application, { seen += "suspend" }, { seen += "resume" })

    @Test
    fun `leaving the app suspends and coming back resumes`() {
        val activity = Robolectric.buildActivity(Activity::class.java).setup()
        watch()
        activity.pause().stop()
        assertEquals(listOf("suspend"), seen)
        // Robolectric starts it with this, too.
        activity.restart().resume()
        assertEquals(listOf("suspend", "resume"), seen)
    }

    @Test
    fun `another activity of the app is no background`() {
        val first = Robolectric.buildActivity(Activity::class.java).setup()
        watch()
        val second = Robolectric.buildActivity(Activity::class.java)
        first.pause()
        second.setup()
        first.stop()
        assertEquals(setOf("resume"), seen.toSet())
        second.pause().stop()
        assertEquals("suspend", seen.last())
    }

    @Test
    fun `a rotation is no background`() {
        val activity = Robolectric.buildActivity(Activity::class.java).setup()
        watch()
        activity.recreate()
        assertEquals(setOf("resume"), seen.toSet())
    }

    @Test
    fun `a session that is gone is let go of`() {
        var calls = 0
        BackgroundWatch(application, {}) {
            calls += 1
            throw OtaroException(ErrorKind.CLOSED, "the session is closed", "")
        }
        repeat(2) { Robolectric.buildActivity(Activity::class.java).setup() }
        assertEquals(1, calls)
    }
}
