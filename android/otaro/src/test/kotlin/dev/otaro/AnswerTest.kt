package dev.otaro

import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.TimeSource

internal class AnswerTest {
    @Test
    fun `an answer comes in batches`() = real {
        withSession { session ->
            val batches = session.ask("Tell me a story.", LONG).toList()
            assertEquals(1, batches.first().tokenIds.size)
            assertEquals(LONG.maxTokens, batches.sumOf { it.tokenIds.size })
            assertTrue(batches.size > 2)
            assertTrue(batches.joinToString("") { it.text }.count(Char::isLetter) > 400)
            assertTrue(batches.dropLast(1).all { it.finishReason == null })
            assertEquals(FinishReason.MAX_TOKENS, batches.last().finishReason)
            val metrics = session.metrics()
            assertFalse(metrics.generating)
            assertEquals(LONG.maxTokens, metrics.generatedTokens)
            assertTrue(metrics.firstTokenMs > 0 && metrics.decodeTokensPerSecond!! > 0)
            assertTrue(metrics.weightBytes > 0 && metrics.kvBytes > 0 && metrics.processAnonymousBytes!! > 0)
        }
    }

    @Test
    fun `a flow is cold and every collection an answer of its own`() = real {
        withSession { session ->
            val flow = session.complete("Once upon a time", LONG.copy(maxTokens = 40))
            assertEquals(0, session.metrics().generatedTokens)
            assertEquals(flow.text(), flow.text())
        }
    }

    @Test
    fun `the conversation goes on`() = real {
        withSession { session ->
            val short = LONG.copy(maxTokens = 16)
            session.ask("My name is Lily.", short).collect()
            val used = session.metrics().contextUsed
            session.ask("Who am I?", short).collect()
            assertTrue(session.metrics().reusedTokens >= used - 1)
            session.reset(listOf(ChatMessage(Role.SYSTEM, "You tell stories.")))
            session.ask("Go on.", short).collect()
            assertTrue(session.metrics().contextUsed < 2 * used)
        }
    }

    @Test
    fun `the precision changes in the middle of an answer`() = real {
        withSession(SessionOptions(mantissaBits = 8)) { session ->
            val precisions = session.complete("Once upon a time", LONG)
                .onEach { if (it.mantissaBits == 8) assertEquals(3, session.setPrecision(3)) }
                .map { it.mantissaBits }
                .toList()
            assertEquals(8, precisions.first())
            assertEquals(3, precisions.last())
            assertEquals(precisions.sortedDescending(), precisions)
            assertEquals(3, session.metrics().mantissaBits)
        }
    }

    @Test
    fun `taking the first batches stops the engine`() = real {
        withSession { session ->
            val rests = List(9) {
                val batches = session.complete("Once upon a time", LONG).take(3).toList()
                assertEquals(3, batches.size)
                session.rest().also { assertTrue(session.metrics().generatedTokens < LONG.maxTokens) }
            }
            assertTrue(median(rests) < PROMPT, "$rests")
        }
    }

    @Test
    fun `cancelling from another coroutine stops the engine`() = real {
        withSession { session ->
            val rests = List(9) {
                val begun = CompletableDeferred<Unit>()
                val answer = launch { session.complete("Once upon a time", LONG).collect { begun.complete(Unit) } }
                begun.await()
                val start = TimeSource.Monotonic.markNow()
                answer.cancelAndJoin()
                session.rest(start).also { assertTrue(session.metrics().generatedTokens < LONG.maxTokens) }
            }
            assertTrue(median(rests) < PROMPT, "$rests")
            assertEquals(FinishReason.CANCELLED, session.metrics().finishReason)
        }
    }

    @Test
    fun `cancelling while the prompt is read stops the engine`() = real {
        withSession { session ->
            val rests = List(9) {
                val answer = launch { session.complete("a ".repeat(400), LONG).collect() }
                while (!session.metrics().generating && answer.isActive) delay(1.milliseconds)
                val start = TimeSource.Monotonic.markNow()
                answer.cancelAndJoin()
                session.rest(start)
            }
            assertTrue(median(rests) < PROMPT, "$rests")
        }
    }

    @Test
    fun `the engine waits for a slow collector`() = real {
        withSession { session ->
            session.complete("Once upon a time", LONG).take(2).collect {
                delay(700.milliseconds)
                assertTrue(session.metrics().generatedTokens < LONG.maxTokens, "it computed all of it unread")
            }
        }
    }

    @Test
    fun `an answer is suspended and resumed`() = real {
        withSession { session ->
            var suspended = false
            var tokens = 0
            session.complete("Once upon a time", LONG).collect { batch ->
                tokens += batch.tokenIds.size
                if (!suspended) {
                    suspended = true
                    session.suspend()
                    val held = session.metrics().generatedTokens
                    // Long enough for the batches that may wait for a collector.
                    delay(200.milliseconds)
                    val beyond = session.metrics().generatedTokens - held
                    assertTrue(beyond <= 1, "$beyond tokens came, not only the one at hand")
                    assertTrue(session.metrics().suspended)
                    session.resume()
                }
            }
            assertEquals(LONG.maxTokens, tokens)
        }
    }

    @Test
    fun `closing during an answer ends it`() = real {
        repeat(10) {
            openModel().use { model ->
                val session = model.session()
                val begun = CompletableDeferred<Unit>()
                val answer = async {
                    failure { session.complete("Once upon a time", LONG).collect { begun.complete(Unit) } }
                }
                begun.await()
                session.close()
                session.close()
                assertEquals(ErrorKind.CLOSED, answer.await().kind)
            }
        }
    }

    @Test
    fun `a session outlives its model and threads do not matter`() = real {
        val model = openModel()
        val session = model.session()
        model.close()
        model.close()
        session.use {
            val calls = List(8) { bits -> async { repeat(50) { session.setPrecision(3 + bits % 6); session.metrics() } } }
            assertTrue(session.ask("Hello!", LONG.copy(maxTokens = 30)).text().isNotBlank())
            calls.awaitAll()
        }
        assertNull(failureOrNull { session.close() })
    }

    private inline fun failureOrNull(call: () -> Unit): Throwable? = runCatching(call).exceptionOrNull()
}
