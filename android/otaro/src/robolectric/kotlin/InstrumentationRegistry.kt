// Robolectric refers to this class of androidx.test, which Maven Central does not have. It hands over the
// instrumentation of each test; no test of ours asks for it.
package androidx.test.platform.app

import android.app.Instrumentation
import android.os.Bundle

object InstrumentationRegistry {
    @JvmStatic
    fun registerInstance(instrumentation: Instrumentation?, arguments: Bundle?) = Unit
}
