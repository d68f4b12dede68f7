// Robolectric refers to these classes of androidx.test, which Maven Central does not have. It registers its monitor of
// intents there, and looks for answers that a test has prepared for them: there are none.
package androidx.test.runner.intent

interface IntentMonitor

object IntentMonitorRegistry {
    @JvmStatic
    fun registerInstance(monitor: IntentMonitor?) = Unit
}

object IntentStubberRegistry {
    @JvmStatic
    fun isLoaded(): Boolean = false
}
