// What the tests share.
package dev.otaro

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.delay
import kotlinx.coroutines.test.TestResult
import kotlinx.coroutines.test.runTest
import kotlinx.coroutines.withContext
import java.nio.file.Path
import kotlin.io.path.readLines
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.minutes
import kotlin.time.TimeMark
import kotlin.time.TimeSource

/** The model that all tests run. */
internal val MODEL: Path = Path.of(System.getProperty("otaro.model") ?: error("no system property otaro.model"))

/** Trying a GPU takes longer than all of a test. */
internal val ON_CPU = OpenOptions(device = DeviceChoice.CPU)

/** An answer that goes on for a while, and the same one each time. */
internal val LONG = GenerationOptions(maxTokens = 400, ignoreEos = true, sampler = SamplerOptions(seed = 1))

/** What a collection that was ended may take until the engine is at rest. */
internal val PROMPT = 150.milliseconds

/** Runs a test on real threads in real time. */
internal fun real(timeout: Duration = 3.minutes, block: suspend CoroutineScope.() -> Unit): TestResult =
    runTest(timeout = timeout) { withContext(Dispatchers.Default, block) }

internal suspend fun openModel(): Model = Otaro.open(ModelSource.Path(MODEL.toString()), ON_CPU)

internal suspend fun withSession(
    options: SessionOptions = SessionOptions(),
    block: suspend (Session) -> Unit,
): Unit = openModel().use { model -> model.session(options).use { block(it) } }

/** Waits until the engine is at rest; returns how long that took since the collection was ended. */
internal suspend fun Session.rest(start: TimeMark = TimeSource.Monotonic.markNow()): Duration {
    while (metrics().generating) delay(1.milliseconds)
    return start.elapsedNow()
}

/** What is in the middle: a machine that is busy with other things may be late now and then. */
internal fun median(durations: List<Duration>): Duration = durations.sorted()[durations.size / 2]

/** What a call fails with. */
internal suspend fun failure(call: suspend () -> Unit): OtaroException =
    try {
        call()
        throw AssertionError("nothing failed")
    } catch (error: OtaroException) {
        error
    }

/** A figure of this process in bytes, as Linux tells it: `RssAnon` or `VmRSS`. */
internal fun processBytes(figure: String): Long {
    val line = Path.of("/proc/self/status").readLines().first { it.startsWith("$figure:") }
    return line.filter(Char::isDigit).toLong() * 1024
}

internal suspend fun kotlinx.coroutines.flow.Flow<TokenBatch>.text(): String =
    StringBuilder().also { text -> collect { text.append(it.text) } }.toString()
