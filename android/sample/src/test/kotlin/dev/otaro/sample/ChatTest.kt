package dev.otaro.sample

import dev.otaro.DeviceChoice
import dev.otaro.ErrorKind
import dev.otaro.MemoryPressure
import dev.otaro.ModelSource
import dev.otaro.OpenOptions
import dev.otaro.OpenStage
import dev.otaro.Otaro
import dev.otaro.Session
import dev.otaro.Signal
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.test.TestResult
import kotlinx.coroutines.test.runTest
import kotlinx.coroutines.withContext
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import kotlin.time.Duration.Companion.minutes

internal class ChatTest {
    private val model = System.getProperty("otaro.model")!!

    /** Runs a test on the one thread of a chat, with that chat. */
    private fun chatting(path: String = model, test: suspend CoroutineScope.(Chat, () -> Session) -> Unit): TestResult =
        runTest(timeout = 2.minutes) {
            val main = Dispatchers.Default.limitedParallelism(1)
            withContext(main) {
                lateinit var session: Session
                val job = Job()
                val options = OpenOptions(device = DeviceChoice.CPU)
                val chat = Chat(
                    scope = CoroutineScope(main + job),
                    open = { onProgress -> Otaro.open(ModelSource.Path(path), options, onProgress) },
                    follow = {
                        session = it
                        AutoCloseable {}
                    },
                )
                chat.use { test(it) { session } }
                job.cancel()
            }
        }

    private suspend fun Chat.until(condition: (ChatState) -> Boolean): ChatState = state.first(condition)

    @Test
    fun `it opens and answers`() = chatting { chat, _ ->
        val opening = chat.until { (it.phase as? Phase.Opening)?.progress != null || it.phase == Phase.Ready }
        assertTrue(opening.phase == Phase.Ready || (opening.phase as Phase.Opening).progress!!.stage >= OpenStage.CHECKING)
        chat.until { it.phase == Phase.Ready }
        chat.ask("  ")
        assertTrue(chat.state.value.messages.isEmpty())
        chat.ask("Tell me a story.")
        chat.ask("And another one.")
        chat.until { it.messages.size == 2 && it.messages.last().text.length > 5 }
        val done = chat.until { it.phase == Phase.Ready }
        assertEquals(listOf(true, false), done.messages.map { it.fromPerson })
        assertTrue(done.tokensPerSecond!! > 0 && done.appBytes!! > 0 && done.modelBytes!! > 0)
        assertEquals(null, done.problem)
        chat.beginAnew()
        assertTrue(chat.state.value.messages.isEmpty())
    }

    @Test
    fun `an answer is stopped and keeps what it has`() = chatting { chat, session ->
        chat.until { it.phase == Phase.Ready }
        chat.ask("Tell me a long story.")
        chat.until { it.messages.lastOrNull()?.text.orEmpty().isNotEmpty() }
        chat.stop()
        val stopped = chat.until { it.phase == Phase.Ready }
        assertTrue(stopped.messages.last().text.isNotEmpty())
        chat.ask("Hello!")
        chat.until { it.phase == Phase.Ready && it.messages.size == 4 }
        assertFalse(session().metrics().generating)
    }

    @Test
    fun `the dial turns the precision and shows when it is held`() = chatting { chat, session ->
        chat.until { it.phase == Phase.Ready }
        chat.setPrecision(8)
        assertEquals(8, chat.state.value.mantissaBits)
        session().signal(Signal.Memory(MemoryPressure.CRITICAL))
        chat.setPrecision(7)
        assertEquals(7 to 3, chat.state.value.wantedMantissaBits to chat.state.value.mantissaBits)
    }

    @Test
    fun `what does not open says what to do`() = chatting("/none.safetensors") { chat, _ ->
        val failed = chat.until { it.phase == Phase.Failed }
        assertEquals(Advice.GET_THE_MODEL_AGAIN, failed.problem!!.advice)
        chat.openAgain()
        chat.until { it.phase is Phase.Opening }
        chat.until { it.phase == Phase.Failed }
        assertTrue("otaro" in chat.diagnostics())
    }

    @Test
    fun `closing during an answer is no problem to show`() = chatting { chat, _ ->
        chat.until { it.phase == Phase.Ready }
        chat.ask("Tell me a story.")
        chat.until { it.messages.lastOrNull()?.text.orEmpty().isNotEmpty() }
        chat.close()
        chat.close()
        assertEquals(null, chat.until { it.phase == Phase.Ready }.problem)
        chat.openAgain()
        chat.until { it.phase == Phase.Ready && it.messages.isEmpty() }
    }

    @Test
    fun `every kind of error has advice or needs none`() {
        assertEquals(Advice.entries.size, ErrorKind.entries.mapNotNull { advice(it) }.toSet().size)
    }
}
