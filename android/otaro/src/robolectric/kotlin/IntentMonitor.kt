// Robolectric refers to this class of androidx.test, which Maven Central does not have. It tells it the intents of
// activities that are started; they are forgotten, as no test of ours asks.
package androidx.test.internal.runner.intent

import android.content.Intent
import androidx.test.runner.intent.IntentMonitor

class IntentMonitorImpl : IntentMonitor {
    fun signalIntent(intent: Intent?) = Unit
}
