package dev.otaro.android

import android.content.ContentResolver
import android.content.res.AssetFileDescriptor
import android.content.res.AssetManager
import android.net.Uri
import dev.otaro.ErrorKind
import dev.otaro.ModelSource
import dev.otaro.OtaroException
import java.io.FileNotFoundException
import java.io.IOException

/**
 * An open file with a model in it. [source] is good until it is closed; a model that was opened from it is not
 * concerned.
 *
 * ```
 * val model = context.assets.openModel("model.sefp.safetensors").use { Otaro.open(it.source) }
 * ```
 */
public class ModelFile internal constructor(private val file: AssetFileDescriptor) : AutoCloseable {
    /** For `Otaro.preflight` and `Otaro.open`. */
    public val source: ModelSource = ModelSource.Descriptor(
        descriptor = file.parcelFileDescriptor.fd,
        offset = file.startOffset,
        length = file.declaredLength.takeIf { it != AssetFileDescriptor.UNKNOWN_LENGTH },
    )

    /** Closes the file. Does no harm twice. */
    override fun close(): Unit = file.close()
}

/**
 * A model among the assets of the app. It is read where it lies in the APK, so it must be stored there uncompressed:
 * `androidResources { noCompress += "safetensors" }`. Not on the main thread.
 *
 * @throws OtaroException `IO` when there is no such asset, or it is compressed.
 */
public fun AssetManager.openModel(name: String): ModelFile = try {
    ModelFile(openFd(name))
} catch (error: IOException) {
    val reason = "cannot open the asset $name; is it there, and is \"safetensors\" among `noCompress`?"
    throw OtaroException(ErrorKind.IO, reason, error.toString(), error)
}

/**
 * A model in a document of another app, which the person has picked. It must be a regular file on this
 * device; what comes from a network has to be copied first. Not on the main thread.
 *
 * @throws OtaroException `IO` when it cannot be opened or this app may not read it.
 */
public fun ContentResolver.openModel(uri: Uri): ModelFile {
    val failed = { error: Exception ->
        OtaroException(ErrorKind.IO, "cannot open the document $uri: let the person pick it again", error.toString(), error)
    }
    return try {
        ModelFile(openAssetFileDescriptor(uri, "r") ?: throw FileNotFoundException("its provider has crashed"))
    } catch (error: IOException) {
        throw failed(error)
    } catch (error: SecurityException) {
        throw failed(error)
    }
}
