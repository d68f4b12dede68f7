package dev.otaro.android

import android.app.Application
import android.content.res.AssetFileDescriptor
import android.net.Uri
import android.os.ParcelFileDescriptor
import dev.otaro.DeviceChoice
import dev.otaro.ErrorKind
import dev.otaro.Model
import dev.otaro.ModelSource
import dev.otaro.OpenOptions
import dev.otaro.Otaro
import dev.otaro.OtaroException
import dev.otaro.PreflightOptions
import kotlinx.coroutines.runBlocking
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import java.io.File

@RunWith(RobolectricTestRunner::class)
internal class ModelFileTest {
    @get:Rule
    val folder = TemporaryFolder()

    private val application: Application = RuntimeEnvironment.getApplication()
    private val model = File(System.getProperty("otaro.model")!!)

    private suspend fun open(source: ModelSource): Model = Otaro.open(source, OpenOptions(device = DeviceChoice.CPU))

    @Test
    fun `a document opens by its descriptor`() = runBlocking {
        val opened = application.contentResolver.openModel(Uri.fromFile(model)).use { file ->
            val need = Otaro.preflight(file.source, PreflightOptions(freeBytes = freeBytes(application)))
            assertEquals(6, need.needs.size)
            open(file.source)
        }
        opened.use { assertEquals(model.length(), it.info().fileBytes) }
    }

    @Test
    fun `a part of a file opens by its descriptor`() = runBlocking {
        val packed = folder.newFile()
        packed.writeBytes(ByteArray(4096) + model.readBytes() + ByteArray(99))
        val descriptor = ParcelFileDescriptor.open(packed, ParcelFileDescriptor.MODE_READ_ONLY)
        val file = ModelFile(AssetFileDescriptor(descriptor, 4096, model.length()))
        val opened = file.use { open(it.source) }
        opened.use { assertEquals(model.length(), it.info().fileBytes) }
    }

    @Test
    fun `what is not there is an error of its kind`() {
        val document = assertThrows(OtaroException::class.java) {
            application.contentResolver.openModel(Uri.fromFile(File("/none.safetensors")))
        }
        val asset = assertThrows(OtaroException::class.java) { application.assets.openModel("none.safetensors") }
        for (error in listOf(document, asset)) {
            assertEquals(ErrorKind.IO, error.kind)
            assertTrue(error.reason, "none.safetensors" in error.reason)
        }
    }
}
