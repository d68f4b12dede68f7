package dev.otaro.android

import android.app.Application
import android.content.ComponentCallbacks2
import android.content.Intent
import android.os.Looper
import android.os.PowerManager
import dev.otaro.DeviceChoice
import dev.otaro.ErrorKind
import dev.otaro.MemoryPressure
import dev.otaro.ModelSource
import dev.otaro.OpenOptions
import dev.otaro.Otaro
import dev.otaro.OtaroException
import dev.otaro.SessionOptions
import dev.otaro.Signal
import dev.otaro.ThermalState
import kotlinx.coroutines.runBlocking
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf

@RunWith(RobolectricTestRunner::class)
internal class SystemSignalsTest {
    private val application: Application = RuntimeEnvironment.getApplication()
    private val power = checkNotNull(application.getSystemService(PowerManager::class.java))
    private val seen = mutableListOf<Signal>()

    private fun heard(action: () -> Unit): List<Signal> {
        seen.clear()
        action()
        shadowOf(Looper.getMainLooper()).idle()
        return seen.toList()
    }

    @Test
    fun `what is the case already counts at once`() {
        shadowOf(power).setCurrentThermalStatus(PowerManager.THERMAL_STATUS_SEVERE)
        shadowOf(power).setIsPowerSaveMode(true)
        val signals = heard { SystemSignals(application, seen::add).start() }
        assertEquals(setOf(Signal.Thermal(ThermalState.SERIOUS), Signal.BatterySaver(true)), signals.toSet())
    }

    @Test
    fun `heat is handed over`() {
        SystemSignals(application, seen::add).start()
        val heat = { status: Int -> heard { shadowOf(power).setCurrentThermalStatus(status) } }
        assertEquals(listOf(Signal.Thermal(ThermalState.FAIR)), heat(PowerManager.THERMAL_STATUS_LIGHT))
        assertEquals(listOf(Signal.Thermal(ThermalState.CRITICAL)), heat(PowerManager.THERMAL_STATUS_EMERGENCY))
        assertEquals(listOf(Signal.Thermal(ThermalState.NOMINAL)), heat(PowerManager.THERMAL_STATUS_NONE))
    }

    @Test
    fun `memory pressure is handed over`() {
        SystemSignals(application, seen::add).start()
        val trim = { level: Int -> heard { application.onTrimMemory(level) } }
        assertEquals(emptyList<Signal>(), trim(ComponentCallbacks2.TRIM_MEMORY_UI_HIDDEN))
        assertEquals(listOf(Signal.Memory(MemoryPressure.MODERATE)), trim(ComponentCallbacks2.TRIM_MEMORY_BACKGROUND))
        @Suppress("DEPRECATION")
        assertEquals(listOf(Signal.Memory(MemoryPressure.CRITICAL)), heard { application.onLowMemory() })
        @Suppress("DEPRECATION")
        assertEquals(MemoryPressure.CRITICAL, pressure(ComponentCallbacks2.TRIM_MEMORY_RUNNING_CRITICAL))
        @Suppress("DEPRECATION")
        assertEquals(MemoryPressure.MODERATE, pressure(ComponentCallbacks2.TRIM_MEMORY_RUNNING_LOW))
        assertNull(pressure(ComponentCallbacks2.TRIM_MEMORY_UI_HIDDEN))
    }

    @Test
    fun `the battery saver is handed over`() {
        SystemSignals(application, seen::add).start()
        shadowOf(power).setIsPowerSaveMode(true)
        val signals = heard { application.sendBroadcast(Intent(PowerManager.ACTION_POWER_SAVE_MODE_CHANGED)) }
        assertEquals(setOf<Signal>(Signal.BatterySaver(true)), signals.toSet())
    }

    @Test
    fun `after closing nothing is heard`() {
        val signals = SystemSignals(application, seen::add).apply { start() }
        signals.close()
        signals.close()
        assertEquals(
            emptyList<Signal>(),
            heard {
                shadowOf(power).setCurrentThermalStatus(PowerManager.THERMAL_STATUS_SEVERE)
                application.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_BACKGROUND)
                application.sendBroadcast(Intent(PowerManager.ACTION_POWER_SAVE_MODE_CHANGED))
            },
        )
    }

    @Test
    fun `a session that is gone is let go of`() {
        var calls = 0
        val signals = SystemSignals(application) {
            calls += 1
            throw OtaroException(ErrorKind.CLOSED, "the session is closed", "")
        }
        signals.start()
        heard { application.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_BACKGROUND) }
        assertEquals(1, calls)
    }

    @Test
    fun `the precision of a session follows`() = runBlocking {
        val source = ModelSource.Path(System.getProperty("otaro.model")!!)
        Otaro.open(source, OpenOptions(device = DeviceChoice.CPU)).use { model ->
            model.session(SessionOptions(mantissaBits = 8)).use { session ->
                session.followSystem(application).use {
                    assertEquals(8, session.metrics().mantissaBits)
                    shadowOf(power).setCurrentThermalStatus(PowerManager.THERMAL_STATUS_SEVERE)
                    shadowOf(Looper.getMainLooper()).idle()
                    assertEquals(6, session.metrics().mantissaBits)
                    @Suppress("DEPRECATION")
                    application.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_COMPLETE)
                    assertEquals(3, session.metrics().mantissaBits)
                }
                session.close()
            }
        }
    }
}
