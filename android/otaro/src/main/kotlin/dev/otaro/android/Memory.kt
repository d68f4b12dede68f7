package dev.otaro.android

import android.app.ActivityManager
import android.content.Context

/**
 * Bytes that apps can still take before Android begins to end some of them, for `PreflightOptions.freeBytes`.
 */
public fun freeBytes(context: Context): Long {
    val memory = ActivityManager.MemoryInfo()
    checkNotNull(context.getSystemService(ActivityManager::class.java)).getMemoryInfo(memory)
    return (memory.availMem - memory.threshold).coerceAtLeast(0)
}
