package dev.otaro.android

import android.os.Build
import android.os.PowerManager
import android.annotation.TargetApi
import dev.otaro.Signal

/** Hands over how hot the device is. A class of its own, as older systems lack the interface. */
@TargetApi(Build.VERSION_CODES.Q)
internal class ThermalSignals(
    private val power: PowerManager,
    private val receive: (Signal) -> Unit,
) : PowerManager.OnThermalStatusChangedListener, AutoCloseable {
    fun start() {
        power.addThermalStatusListener(this)
        onThermalStatusChanged(power.currentThermalStatus)
    }

    override fun onThermalStatusChanged(status: Int) = receive(Signal.Thermal(thermalState(status)))

    override fun close() = power.removeThermalStatusListener(this)
}
