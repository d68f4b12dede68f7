package dev.otaro

import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.launch
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import kotlin.io.path.readBytes
import kotlin.io.path.writeBytes
import kotlin.io.path.writeText
import kotlin.time.Duration.Companion.milliseconds

internal class ErrorTest {
    @TempDir
    lateinit var folder: Path

    private val model by lazy { MODEL.readBytes() }

    private suspend fun opening(file: Path, options: OpenOptions = ON_CPU): OtaroException =
        failure { Otaro.open(ModelSource.Path(file.toString()), options).close() }.also(::assertWellFormed)

    private fun assertWellFormed(error: OtaroException) {
        assertTrue(error.reason.length > 10 && !error.reason.contains('\n'), error.reason)
        val expected = if (error.details.isEmpty()) error.reason else "${error.reason}\n${error.details}"
        assertEquals(expected, error.message)
        assertFalse("kind=" in error.toString(), error.toString())
    }

    @Test
    fun `a file that is not there`() = real {
        val error = opening(folder.resolve("none.safetensors"))
        assertEquals(ErrorKind.IO, error.kind)
        assertTrue("none.safetensors" in error.reason, error.reason)
        val preflight = failure { Otaro.preflight(ModelSource.Path("/none.safetensors")) }
        assertEquals(ErrorKind.IO, preflight.kind)
    }

    @Test
    fun `a file that is no model`() = real {
        val file = folder.resolve("letter.txt").apply { writeText("Dear model, ".repeat(100)) }
        assertEquals(ErrorKind.NOT_A_CHECKPOINT, opening(file).kind)
    }

    @Test
    fun `a file of another version`() = real {
        val version = "\"version\":\"2.".toByteArray()
        val at = model.indices.first { begin -> version.indices.all { model[begin + it] == version[it] } }
        val other = model.clone().also { it[at + version.size - 2] = '9'.code.toByte() }
        val file = folder.resolve("other.safetensors").apply { writeBytes(other) }
        assertEquals(ErrorKind.UNSUPPORTED_VERSION, opening(file).kind)
    }

    @Test
    fun `a damaged file`() = real {
        val damaged = model.clone().also { it[it.size - 100] = (it[it.size - 100] + 1).toByte() }
        val file = folder.resolve("damaged.safetensors").apply { writeBytes(damaged) }
        assertEquals(ErrorKind.CORRUPT, opening(file, ON_CPU.copy(verify = true)).kind)
    }

    @Test
    fun `a part of a file holds low precisions only`() = real {
        val file = folder.resolve("part.safetensors").apply { writeBytes(model.copyOf(model.size * 7 / 10)) }
        Otaro.open(ModelSource.Path(file.toString()), ON_CPU).use { part ->
            val highest = part.info().maxMantissaBits
            assertTrue(highest in 3..7, "$highest")
            assertEquals(ErrorKind.MISSING_PLANES, failure { part.session(SessionOptions(mantissaBits = 8)) }.kind)
            part.session(SessionOptions(mantissaBits = highest)).use { session ->
                assertEquals(ErrorKind.MISSING_PLANES, failure { session.setPrecision(8) }.kind)
                assertEquals(highest, session.metrics().mantissaBits)
                assertTrue(session.ask("Hello!", LONG.copy(maxTokens = 20)).text().isNotBlank())
            }
        }
    }

    @Test
    fun `arguments out of range`() = real {
        openModel().use { model ->
            for (options in listOf(
                SessionOptions(mantissaBits = 2),
                SessionOptions(mantissaBits = 9),
                SessionOptions(mantissaBits = -1),
                SessionOptions(mantissaBits = 8, maxMantissaBits = 7),
                SessionOptions(contextLength = 0),
                SessionOptions(contextLength = Int.MIN_VALUE),
            )) {
                assertEquals(ErrorKind.INVALID_ARGUMENT, failure { model.session(options).close() }.kind, "$options")
            }
            assertEquals(ErrorKind.INVALID_ARGUMENT, failure { model.trim(9) }.kind)
            model.session(SessionOptions(minMantissaBits = 4, maxMantissaBits = 7)).use { session ->
                for (bits in listOf(3, 8, 0, -5, Int.MAX_VALUE)) {
                    assertEquals(ErrorKind.INVALID_ARGUMENT, failure { session.setPrecision(bits) }.kind, "$bits")
                }
                for (options in listOf(
                    GenerationOptions(maxTokens = -1),
                    GenerationOptions(stop = listOf("")),
                    GenerationOptions(sampler = SamplerOptions(topP = 0f)),
                    GenerationOptions(sampler = SamplerOptions(temperature = Float.NaN)),
                    GenerationOptions(sampler = SamplerOptions(topK = -1)),
                )) {
                    val error = failure { session.ask("Hello!", options).collect() }
                    assertEquals(ErrorKind.INVALID_ARGUMENT, error.kind, "$options")
                    assertWellFormed(error)
                }
            }
        }
    }

    @Test
    fun `a prompt that is longer than the context`() = real {
        withSession { session ->
            val error = failure { session.complete("word ".repeat(2000), LONG).collect() }
            assertEquals(ErrorKind.CONTEXT_FULL, error.kind)
            assertTrue(session.complete("Still here", LONG.copy(maxTokens = 10)).text().isNotEmpty())
        }
    }

    @Test
    fun `a session that is busy or suspended`() = real {
        withSession { session ->
            val begun = CompletableDeferred<Unit>()
            val answer = launch {
                session.complete("Once", LONG).collect { begun.complete(Unit).also { delay(10.milliseconds) } }
            }
            begun.await()
            assertEquals(ErrorKind.BUSY, failure { session.ask("Me too!", LONG).collect() }.kind)
            answer.cancelAndJoin()
            session.suspend()
            session.suspend()
            assertEquals(ErrorKind.SUSPENDED, failure { session.ask("Hello!").collect() }.kind)
            session.resume()
            assertTrue(session.ask("Hello!", LONG.copy(maxTokens = 10)).text().isNotEmpty())
        }
    }

    @Test
    fun `what was closed says so`() = real {
        val model = openModel()
        val session = model.session()
        val flow = session.ask("Hello!")
        session.close()
        model.close()
        val calls = listOf<suspend () -> Unit>(
            { model.session() },
            { model.info() },
            { model.trim(3) },
            { model.diagnostics() },
            { session.setPrecision(3) },
            { session.signal(Signal.BatterySaver(true)) },
            { session.trim() },
            { session.suspend() },
            { session.resume() },
            { session.reset() },
            { session.metrics() },
            { session.diagnostics() },
            { flow.collect() },
        )
        for (call in calls) {
            val error = failure(call)
            assertEquals(ErrorKind.CLOSED, error.kind)
            assertWellFormed(error)
        }
    }
}
