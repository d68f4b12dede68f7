package dev.otaro.android

import android.content.BroadcastReceiver
import android.content.ComponentCallbacks2
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.content.res.Configuration
import android.os.Build
import android.os.PowerManager
import dev.otaro.MemoryPressure
import dev.otaro.OtaroException
import dev.otaro.Session
import dev.otaro.Signal
import dev.otaro.ThermalState
import java.util.concurrent.atomic.AtomicBoolean

/**
 * Lets the precision of the session follow what Android says: memory pressure, heat (from Android 10 on) and the
 * battery saver. What is the case already counts at once.
 *
 * Android calls on the main thread, where a signal costs next to nothing. Close the result when the session is closed;
 * a session that was closed before is let go of at the next signal.
 */
public fun Session.followSystem(context: Context): AutoCloseable =
    SystemSignals(context.applicationContext, ::signal).apply { start() }

/** Hands what the system says to [receive], until it is closed or [receive] fails. */
internal class SystemSignals(
    private val context: Context,
    private val receive: (Signal) -> Unit,
) : AutoCloseable {
    private val power = checkNotNull(context.getSystemService(PowerManager::class.java))
    private val closed = AtomicBoolean()
    private val thermal = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) ThermalSignals(power, ::hand) else null

    private val memory = object : ComponentCallbacks2 {
        override fun onTrimMemory(level: Int) {
            pressure(level)?.let { hand(Signal.Memory(it)) }
        }

        @Deprecated("Android calls it where it calls nothing else")
        override fun onLowMemory() = hand(Signal.Memory(MemoryPressure.CRITICAL))

        override fun onConfigurationChanged(configuration: Configuration) = Unit
    }

    private val saver = object : BroadcastReceiver() {
        override fun onReceive(context: Context, intent: Intent) = hand(Signal.BatterySaver(power.isPowerSaveMode))
    }

    fun start() {
        context.registerComponentCallbacks(memory)
        // Only the system may send this one, so it needs no flag of who may.
        context.registerReceiver(saver, IntentFilter(PowerManager.ACTION_POWER_SAVE_MODE_CHANGED))
        thermal?.start()
        hand(Signal.BatterySaver(power.isPowerSaveMode))
    }

    private fun hand(signal: Signal) {
        if (closed.get()) return
        try {
            receive(signal)
        } catch (_: OtaroException) {
            // Closed or lost: whoever uses the session is told there. Here nobody could do anything about it.
            close()
        }
    }

    override fun close() {
        if (!closed.compareAndSet(false, true)) return
        thermal?.close()
        context.unregisterReceiver(saver)
        context.unregisterComponentCallbacks(memory)
    }
}

/** What a level of [ComponentCallbacks2] says about memory; null for nothing. */
@Suppress("DEPRECATION") // From Android 14 on only two levels are sent; older systems send all of them.
internal fun pressure(level: Int): MemoryPressure? = when (level) {
    // The app is not seen any more, which says nothing about memory.
    ComponentCallbacks2.TRIM_MEMORY_UI_HIDDEN -> null
    ComponentCallbacks2.TRIM_MEMORY_RUNNING_CRITICAL, ComponentCallbacks2.TRIM_MEMORY_COMPLETE ->
        MemoryPressure.CRITICAL
    else -> MemoryPressure.MODERATE
}

/** What a thermal status of [PowerManager] is in the words of otaro. */
internal fun thermalState(status: Int): ThermalState = when {
    status <= PowerManager.THERMAL_STATUS_NONE -> ThermalState.NOMINAL
    status <= PowerManager.THERMAL_STATUS_MODERATE -> ThermalState.FAIR
    status == PowerManager.THERMAL_STATUS_SEVERE -> ThermalState.SERIOUS
    else -> ThermalState.CRITICAL
}
