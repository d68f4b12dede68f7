package dev.otaro

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** The tokens of a model, from the tokenizer that lies in its file. */
internal class Vocabulary(private val file: ByteArray) {
    private val place: IntRange = place()
    private val tokenizer = json(place)
    private val words = tokenizer.getValue("model").jsonObject.getValue("vocab").jsonObject
    private val special =
        tokenizer.getValue("added_tokens").jsonArray.map { it.jsonObject.getValue("id").jsonPrimitive.int }

    /** The bytes of every token; none for special ones, which are no text. */
    val bytes: Map<Int, ByteArray> = words.entries.associate { (word, id) ->
        id.jsonPrimitive.int to ByteArray(word.length) { ALPHABET[word[it]] ?: 0 }
    } + special.associateWith { ByteArray(0) }

    /** The token that is this one byte. */
    fun token(byte: Byte): Int = bytes.entries.first { it.value.contentEquals(byteArrayOf(byte)) }.key

    /** The file, in which tokens have exchanged their bytes, and nothing else has changed. */
    fun exchanged(pairs: Map<Int, Int>): ByteArray {
        val both = pairs + pairs.entries.associate { (one, other) -> other to one }
        val vocab = JsonObject(words.mapValues { (_, id) -> JsonPrimitive(both[id.jsonPrimitive.int] ?: id.jsonPrimitive.int) })
        val model = JsonObject(tokenizer.getValue("model").jsonObject + ("vocab" to vocab))
        val text = JsonObject(tokenizer + ("model" to model)).toString().toByteArray()
        check(text.size <= place.count()) { "the other tokenizer needs ${text.size} bytes, and has ${place.count()}" }
        // That of the old vocabulary would tell that this is another one.
        val fingerprint = fingerprint()
        val unknown = "\"none\"".padEnd(fingerprint.count())
        return file.clone().also { other ->
            other.fill(' '.code.toByte(), place.first, place.last + 1)
            text.copyInto(other, place.first)
            unknown.toByteArray().copyInto(other, fingerprint.first)
        }
    }

    /** Where the header has the value of the fingerprint of the tokenizer. */
    private fun fingerprint(): IntRange {
        val header = String(file, 0, data(), Charsets.ISO_8859_1)
        val entry = Regex("\"tokenizer_fingerprint\": *(\"[0-9a-f]{64}\")").find(header)
        return checkNotNull(entry?.groups?.get(1)) { "no fingerprint" }.range
    }

    /** Where the data begin that the header describes. */
    private fun data(): Int = 8 + ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).getLong(0).toInt()

    /** Where the tokenizer lies. */
    private fun place(): IntRange {
        val data = data()
        val entry = json(8 until data).getValue("tokenizer.json").jsonObject
        val (begin, end) = entry.getValue("data_offsets").jsonArray.map { data + it.jsonPrimitive.int }
        return begin until end
    }

    private fun json(part: IntRange): JsonObject =
        Json.parseToJsonElement(String(file, part.first, part.count(), Charsets.UTF_8)).jsonObject

    private companion object {
        /** The characters by which tokenizers of bytes spell bytes: printable ones themselves, others from U+0100 on. */
        val ALPHABET: Map<Char, Byte> = run {
            val printable = ('!'.code..'~'.code) + (0xA1..0xAC) + (0xAE..0xFF)
            val others = (0..255) - printable.toSet()
            printable.associate { it.toChar() to it.toByte() } +
                others.withIndex().associate { (index, byte) -> (0x100 + index).toChar() to byte.toByte() }
        }
    }
}
