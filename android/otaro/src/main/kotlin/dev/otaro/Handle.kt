package dev.otaro

import dev.otaro.ffi.Disposable
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.withContext
import java.util.concurrent.atomic.AtomicReference
import kotlin.coroutines.CoroutineContext

/**
 * An object of the library. It is let go of at the first [close]: waiting for the garbage collector would keep a
 * model in memory. Whoever calls it later gets `CLOSED`.
 */
internal class Handle<T : Disposable>(
    value: T,
    private val what: String,
    private val end: (T) -> Unit,
) : AutoCloseable {
    private val reference = AtomicReference<T?>(value)

    fun <R> call(block: (T) -> R): R {
        val value = reference.get() ?: throw closed()
        return try {
            translated { block(value) }
        } catch (error: IllegalStateException) {
            // Another thread may close it between the two lines above.
            throw if (reference.get() == null) closed() else error
        }
    }

    override fun close() {
        val value = reference.getAndSet(null) ?: return
        end(value)
        value.destroy()
    }

    private fun closed() = OtaroException(ErrorKind.CLOSED, "the $what is closed: open it again", "")
}

/** Makes something on other threads; if the coroutine is cancelled meanwhile, it is closed, not lost. */
internal suspend fun <T : AutoCloseable> madeOn(context: CoroutineContext, make: () -> T): T {
    var made: T? = null
    try {
        return withContext(context) { make().also { made = it } }
    } catch (cancelled: CancellationException) {
        made?.close()
        throw cancelled
    }
}
