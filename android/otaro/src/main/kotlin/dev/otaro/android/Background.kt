package dev.otaro.android

import android.app.Activity
import android.app.Application
import android.os.Bundle
import dev.otaro.OtaroException
import dev.otaro.Session

/**
 * Suspends the session while no activity of the app is started, and lets it go on when one is again: an answer stays
 * where it is meanwhile. A rotation is no such moment. An app that answers in the background, out of a foreground service,
 * leaves this out.
 *
 * Call it on the main thread, before a second activity is started. Close the result when the session is closed.
 */
public fun Session.suspendInBackground(application: Application): AutoCloseable =
    BackgroundWatch(application, ::suspend, ::resume)

/** Knows which activities are started, as far as they were started after it was made. */
internal class BackgroundWatch(
    private val application: Application,
    private val hold: () -> Unit,
    private val goOn: () -> Unit,
) : Application.ActivityLifecycleCallbacks, AutoCloseable {
    private val started = mutableSetOf<Activity>()

    init {
        application.registerActivityLifecycleCallbacks(this)
    }

    override fun onActivityStarted(activity: Activity) {
        started += activity
        guarded(goOn)
    }

    override fun onActivityStopped(activity: Activity) {
        started -= activity
        // The next instance of an activity that is made anew starts at once.
        if (started.isEmpty() && !activity.isChangingConfigurations) guarded(hold)
    }

    private fun guarded(action: () -> Unit) = try {
        action()
    } catch (_: OtaroException) {
        // Closed or lost: whoever uses the session is told there.
        close()
    }

    override fun close(): Unit = application.unregisterActivityLifecycleCallbacks(this)

    override fun onActivityCreated(activity: Activity, state: Bundle?): Unit = Unit

    override fun onActivityResumed(activity: Activity): Unit = Unit

    override fun onActivityPaused(activity: Activity): Unit = Unit

    override fun onActivitySaveInstanceState(activity: Activity, state: Bundle): Unit = Unit

    override fun onActivityDestroyed(activity: Activity): Unit = Unit
}
