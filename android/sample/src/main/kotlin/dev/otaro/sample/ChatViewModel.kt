package dev.otaro.sample

import android.app.Application
import androidx.lifecycle.AndroidViewModel
import androidx.lifecycle.viewModelScope
import dev.otaro.Model
import dev.otaro.OpenOptions
import dev.otaro.OpenProgress
import dev.otaro.Otaro
import dev.otaro.Session
import dev.otaro.android.followSystem
import dev.otaro.android.openModel
import dev.otaro.android.suspendInBackground
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext

/** Keeps the chat over rotations, and connects it with Android. */
class ChatViewModel(application: Application) : AndroidViewModel(application) {
    val chat: Chat = Chat(viewModelScope, ::open, ::follow)

    private suspend fun open(onProgress: (OpenProgress) -> Unit): Model {
        val app = getApplication<Application>()
        val options = OpenOptions(stateFolder = app.filesDir.path)
        return withContext(Dispatchers.IO) { app.assets.openModel(MODEL) }
            .use { file -> Otaro.open(file.source, options, onProgress) }
    }

    private fun follow(session: Session): AutoCloseable {
        val system = session.followSystem(getApplication())
        val background = session.suspendInBackground(getApplication())
        return AutoCloseable {
            background.close()
            system.close()
        }
    }

    override fun onCleared(): Unit = chat.close()

    private companion object {
        const val MODEL = "storyteller-4m.sefp.safetensors"
    }
}
