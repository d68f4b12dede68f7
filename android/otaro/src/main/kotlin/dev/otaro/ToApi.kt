// What crosses the border outwards.
package dev.otaro

import dev.otaro.ffi.BuildInfo as FfiBuildInfo
import dev.otaro.ffi.Decision as FfiDecision
import dev.otaro.ffi.FinishReason as FfiFinishReason
import dev.otaro.ffi.FreeMemory as FfiFreeMemory
import dev.otaro.ffi.Metrics as FfiMetrics
import dev.otaro.ffi.ModelInfo as FfiModelInfo
import dev.otaro.ffi.OpenProgress as FfiOpenProgress
import dev.otaro.ffi.PrecisionNeed as FfiPrecisionNeed
import dev.otaro.ffi.Preflight as FfiPreflight
import dev.otaro.ffi.TokenBatch as FfiTokenBatch

internal fun FfiBuildInfo.toApi() = BuildInfo(version, revision, target, profile)

internal fun FfiOpenProgress.toApi() = OpenProgress(OpenStage.valueOf(stage.name), fraction)

internal fun FfiPreflight.toApi() = Preflight(
    needs = needs.map { it.toApi() },
    free = free?.toApi(),
    contextLength = contextLength.toInt(),
    highestMantissaBits = highestMantissaBits?.toInt(),
    summary = summary,
)

private fun FfiPrecisionNeed.toApi() = PrecisionNeed(
    mantissaBits = mantissaBits.toInt(),
    inFile = inFile,
    mappedBytes = mappedBytes.toLong(),
    kvBytes = kvBytes.toLong(),
    scratchBytes = scratchBytes.toLong(),
    textBytes = textBytes.toLong(),
    gpuBytes = gpuBytes.toLong(),
    countedBytes = countedBytes.toLong(),
    fits = fits,
)

private fun FfiFreeMemory.toApi() = FreeMemory(bytes.toLong(), FreeMemorySource.valueOf(source.name))

internal fun FfiModelInfo.toApi() = ModelInfo(
    fileBytes = fileBytes.toLong(),
    weights = weights.toLong(),
    layers = layers.toInt(),
    vocabSize = vocabSize.toInt(),
    contextLength = contextLength.toInt(),
    hasChatTemplate = hasChatTemplate,
    maxMantissaBits = maxMantissaBits.toInt(),
    device = device,
    onGpu = onGpu,
    deviceReason = deviceReason,
    provenance = provenance,
)

internal fun FfiTokenBatch.toApi() = TokenBatch(
    text = text,
    tokenIds = tokenIds.map { it.toInt() },
    mantissaBits = mantissaBits.toInt(),
    finishReason = finishReason?.toApi(),
)

private fun FfiFinishReason.toApi() = FinishReason.valueOf(name)

internal fun FfiDecision.toApi() = Decision(mantissaBits.toInt(), changed, trimmed, reason)

internal fun FfiMetrics.toApi() = Metrics(
    mantissaBits = mantissaBits.toInt(),
    wantedMantissaBits = wantedMantissaBits.toInt(),
    generating = generating,
    suspended = suspended,
    promptTokens = promptTokens.toInt(),
    reusedTokens = reusedTokens.toInt(),
    generatedTokens = generatedTokens.toInt(),
    firstTokenMs = firstTokenMs,
    prefillTokensPerSecond = prefillTokensPerSecond,
    decodeTokensPerSecond = decodeTokensPerSecond,
    finishReason = finishReason?.toApi(),
    contextUsed = contextUsed.toInt(),
    contextLength = contextLength.toInt(),
    kvBytes = kvBytes.toLong(),
    weightBytes = weightBytes.toLong(),
    processAnonymousBytes = processAnonymousBytes?.toLong(),
    processFileBytes = processFileBytes?.toLong(),
    processPeakBytes = processPeakBytes?.toLong(),
    lastDecision = lastDecision,
)
