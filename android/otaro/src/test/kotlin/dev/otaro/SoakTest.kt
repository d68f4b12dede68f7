package dev.otaro

import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.take
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import java.nio.file.Path
import java.util.concurrent.atomic.AtomicInteger
import kotlin.io.path.listDirectoryEntries
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.minutes

/** What would leak leaks here. */
internal class SoakTest {
    @Test
    fun `a thousand models are opened and closed`() = real(SOAK) {
        cycles(100)
        val before = settled()
        cycles(1000)
        val after = settled()
        println("1000 models: ${before.describe()}, then ${after.describe()}")
        after.assertNoMoreThan(before)
    }

    @Test
    fun `a hundred thousand tokens come`() = real(SOAK) {
        openModel().use { model ->
            tokens(model, 4_000)
            val before = settled()
            val seen = tokens(model, 100_000)
            val after = settled()
            println("$seen tokens: ${before.describe()}, then ${after.describe()}")
            assertTrue(seen >= 100_000)
            after.assertNoMoreThan(before)
        }
    }

    /** Opens models, takes a token of some, and closes in every order. */
    private suspend fun cycles(count: Int) = repeat(count) { cycle ->
        val model = Otaro.open(ModelSource.Path(MODEL.toString()), ON_CPU.copy(threads = 1))
        val session = model.session(SessionOptions(contextLength = 64))
        if (cycle % 2 == 0) model.close()
        if (cycle % 10 == 0) assertEquals(1, session.complete("Once", LONG).take(1).tokens())
        session.close()
        model.close()
    }

    /** So many tokens, from sessions that come and go, and two at a time. */
    private suspend fun tokens(model: Model, count: Int): Int {
        val seen = AtomicInteger()
        kotlinx.coroutines.coroutineScope {
            List(2) {
                async {
                    while (seen.get() < count) {
                        model.session(SessionOptions(mantissaBits = 3)).use { session ->
                            repeat(4) { seen.addAndGet(session.complete("Once upon a time", GREEDY).tokens()) }
                        }
                    }
                }
            }.awaitAll()
        }
        return seen.get()
    }

    private suspend fun kotlinx.coroutines.flow.Flow<TokenBatch>.tokens(): Int {
        var count = 0
        collect { count += it.tokenIds.size }
        return count
    }

    private class Footprint(val anonymous: Long, val heap: Long, val threads: Int, val files: Int) {
        fun describe() = "${anonymous / MIB} MiB anonymous, ${heap / MIB} MiB heap used, $threads threads, $files files"

        /** But for what the JVM itself has come to need meanwhile: compiled code, threads of its pools. */
        fun assertNoMoreThan(before: Footprint) {
            val figures = "${before.describe()}, then ${describe()}"
            assertTrue(anonymous - before.anonymous < 48 * MIB, figures)
            assertTrue(heap - before.heap < 8 * MIB, figures)
            assertTrue(threads <= before.threads + 4, figures)
            assertTrue(files <= before.files + 4, figures)
        }
    }

    /** What the process holds once what was let go of is gone. */
    private suspend fun settled(): Footprint {
        repeat(3) {
            System.gc()
            delay(200.milliseconds)
        }
        val entries = { folder: String -> Path.of("/proc/self/$folder").listDirectoryEntries().size }
        val heap = Runtime.getRuntime().run { totalMemory() - freeMemory() }
        return Footprint(processBytes("RssAnon"), heap, entries("task"), entries("fd"))
    }

    private companion object {
        const val MIB = 1L shl 20

        /** It is about memory: a busy machine may take its time. */
        val SOAK = 15.minutes
        val GREEDY = GenerationOptions(maxTokens = 500, ignoreEos = true, sampler = SamplerOptions(temperature = 0f))
    }
}
