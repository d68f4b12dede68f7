package dev.otaro

import kotlinx.coroutines.flow.toList
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import java.io.ByteArrayOutputStream
import java.nio.file.Path
import kotlin.io.path.readBytes
import kotlin.io.path.writeBytes

/**
 * The model is no writer of emoji. But tokens are numbers to it: where the tokens of a phrase of its stories exchange
 * their bytes with those of an emoji, the same stories come with the emoji for the phrase, split over tokens, and with
 * pieces of it wherever one of these tokens comes by itself.
 */
internal class TextTest {
    @TempDir
    lateinit var folder: Path

    @Test
    fun `characters that are split over tokens arrive whole`() = real {
        val vocabulary = Vocabulary(MODEL.readBytes())
        val stories = openModel().use { model -> stories(model) }.map { batches -> batches.flatMap { it.tokenIds } }
        val file = folder.resolve("emoji.safetensors")
        file.writeBytes(vocabulary.exchanged(exchanges(stories, vocabulary)))
        val bytes = Vocabulary(file.readBytes()).bytes
        assertTrue(bytes.values.none { token -> SPLIT.any { String(token, Charsets.UTF_8).contains(it) } })

        val told = Otaro.open(ModelSource.Path(file.toString()), ON_CPU).use { model -> stories(model) }
        assertEquals(stories, told.map { batches -> batches.flatMap { it.tokenIds } })
        for (batches in told) {
            val out = ByteArrayOutputStream()
            batches.flatMap { it.tokenIds }.forEach { out.writeBytes(bytes.getValue(it)) }
            // Java puts one U+FFFD for the same pieces as Rust does, so any difference is ours.
            assertEquals(String(out.toByteArray(), Charsets.UTF_8), batches.joinToString("") { it.text })
            for (batch in batches) {
                val halves = batch.text.indices.filter { batch.text[it].isSurrogate() && !batch.text.isPair(it) }
                assertTrue(halves.isEmpty(), "half a character in ${batch.text}")
            }
        }
        val text = told.joinToString("") { batches -> batches.joinToString("") { it.text } }
        for (character in SPLIT + "\uFFFD") {
            val count = text.windowed(character.length).count { it == character }
            assertTrue(count >= STORIES / 3, "$character came $count times")
        }
    }

    @Test
    fun `text of any kind goes in`() = real {
        withSession { session ->
            for (text in listOf("👩‍👩‍👧‍👦 family", "\u0000 nul", "日本語", "e\u0301", "\uD83D half", "half \uDE42", "")) {
                assertTrue(session.complete("Hi. $text", LONG.copy(maxTokens = 5)).toList().isNotEmpty())
            }
            assertEquals("\uFFFD🙂\uFFFD", "\uD83D🙂\uDE42".wellFormed())
        }
    }

    private suspend fun stories(model: Model): List<List<TokenBatch>> = model.session().use { session ->
        List(STORIES) { seed ->
            val sampler = SamplerOptions(seed = seed.toLong())
            session.complete(PROMPT_TEXT, LONG.copy(maxTokens = 200, sampler = sampler)).toList()
        }
    }

    /** For every character of [SPLIT] the phrase of as many tokens that comes most often, and its bytes. */
    private fun exchanges(stories: List<List<Int>>, vocabulary: Vocabulary): Map<Int, Int> {
        val exchanged = mutableMapOf<Int, Int>()
        for (character in SPLIT) {
            val bytes = character.toByteArray()
            // The prompt must stay what it was.
            val free = { token: Int ->
                val text = String(vocabulary.bytes.getValue(token), Charsets.UTF_8)
                token !in exchanged && text.length > 1 && text !in PROMPT_TEXT
            }
            val phrases = stories.flatMap { it.windowed(bytes.size) }
                .filter { phrase -> phrase.all(free) && phrase.distinct().size == phrase.size }
            val phrase = phrases.groupingBy { it }.eachCount().maxBy { it.value }.key
            phrase.zip(bytes.toList()) { token, byte -> exchanged[token] = vocabulary.token(byte) }
        }
        return exchanged
    }

    /** Whether a surrogate at a place has its other half beside it. */
    private fun String.isPair(at: Int): Boolean = when {
        this[at].isHighSurrogate() -> getOrNull(at + 1)?.isLowSurrogate() == true
        else -> getOrNull(at - 1)?.isHighSurrogate() == true
    }

    private companion object {
        const val STORIES = 12
        const val PROMPT_TEXT = "Once upon a time"

        /** Of four bytes, three and two, without a byte in common. */
        val SPLIT = listOf("🙂", "日", "é", "Ж")
    }
}
