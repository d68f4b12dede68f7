package dev.otaro

import kotlinx.coroutines.flow.toList
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import java.io.ByteArrayOutputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.io.path.readBytes

/**
 * The model is no writer of emoji, but one whose recent tokens are made far more probable repeats the bytes of a
 * prompt of emoji, in any order: whole characters, split over tokens, among pieces of others.
 */
internal class TextTest {
    private val vocabulary = vocabulary()

    private fun repeating(seed: Int) = GenerationOptions(
        maxTokens = 200,
        ignoreEos = true,
        sampler = SamplerOptions(temperature = 1f, topK = 6, topP = 1f, repetitionPenalty = 0.1f, seed = seed.toLong()),
    )

    @Test
    fun `characters that are split over tokens arrive whole`() = real {
        withSession { session ->
            var split = 0
            var emoji = 0
            for ((seed, prompt) in listOf("é", "ñü", "日本", "🙂", "🎉🙂").flatMap { text -> List(8) { text } }.withIndex()) {
                val batches = session.complete(prompt.repeat(12), repeating(seed)).toList()
                val text = batches.joinToString("") { it.text }
                val tokens = batches.flatMap { it.tokenIds }.map { vocabulary.getValue(it) }
                val bytes = ByteArrayOutputStream().also { out -> tokens.forEach(out::writeBytes) }.toByteArray()
                // Java puts one U+FFFD for the same pieces as Rust does, so any difference is ours.
                assertEquals(String(bytes, Charsets.UTF_8), text)
                for (batch in batches) {
                    val halves = batch.text.indices.filter { batch.text[it].isSurrogate() && !batch.text.isPair(it) }
                    assertTrue(halves.isEmpty(), "half a character in ${batch.text}")
                }
                if (tokens.none { String(it, Charsets.UTF_8).any { char -> char.code > 0x7f && char != '\uFFFD' } }) {
                    split += text.count { it.code > 0x7f && it != '\uFFFD' && !it.isLowSurrogate() }
                }
                emoji += text.count(Char::isHighSurrogate)
            }
            assertTrue(split >= 100, "only $split characters were split over tokens")
            assertTrue(emoji >= 5, "only $emoji emoji came out")
        }
    }

    @Test
    fun `text of any kind goes in`() = real {
        withSession { session ->
            for (text in listOf("👩‍👩‍👧‍👦 family", "\u0000 nul", "日本語", "e\u0301", "\uD83D half", "")) {
                assertTrue(session.complete("Hi. $text", LONG.copy(maxTokens = 5)).toList().isNotEmpty())
            }
        }
    }

    /** Whether a surrogate at a place has its other half beside it. */
    private fun String.isPair(at: Int): Boolean = when {
        this[at].isHighSurrogate() -> getOrNull(at + 1)?.isLowSurrogate() == true
        else -> getOrNull(at - 1)?.isHighSurrogate() == true
    }
}

/** The bytes of every token, from the tokenizer that lies in the model file. */
private fun vocabulary(): Map<Int, ByteArray> {
    val file = MODEL.readBytes()
    val length = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).getLong(0).toInt()
    val header = json(file, 8, 8 + length)
    val place = header.getValue("tokenizer.json").jsonObject.getValue("data_offsets").jsonArray.map { it.jsonPrimitive.int }
    val tokenizer = json(file, 8 + length + place[0], 8 + length + place[1])
    val bytes = alphabet()
    val words = tokenizer.getValue("model").jsonObject.getValue("vocab").jsonObject
    val tokens = words.entries.associate { (word, id) ->
        id.jsonPrimitive.int to ByteArray(word.length) { bytes[word[it]] ?: 0 }
    }
    val special = tokenizer.getValue("added_tokens").jsonArray.map { it.jsonObject.getValue("id").jsonPrimitive.int }
    // These are no text.
    return tokens + special.associateWith { ByteArray(0) }
}

private fun json(file: ByteArray, begin: Int, end: Int): JsonObject =
    Json.parseToJsonElement(String(file, begin, end - begin, Charsets.UTF_8)).jsonObject

/** The characters by which tokenizers of bytes spell bytes: printable ones themselves, others from U+0100 on. */
private fun alphabet(): Map<Char, Byte> {
    val printable = ('!'.code..'~'.code) + (0xA1..0xAC) + (0xAE..0xFF)
    val others = (0..255) - printable.toSet()
    return printable.associate { it.toChar() to it.toByte() } +
        others.withIndex().associate { (index, byte) -> (0x100 + index).toChar() to byte.toByte() }
}
