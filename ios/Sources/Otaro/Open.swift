import OtaroFFI

/// Says what a model will take, and the highest precision that fits, before it is opened. Reads the header of the file and
/// nothing beyond it, in milliseconds and off the calling actor.
///
/// - Parameters:
///   - source: Where the model is.
///   - options: The context, device and KV format to count with.
/// - Throws: ``OtaroError`` of kind `io`, `notACheckpoint`, `unsupportedVersion`, `unsupportedModel`, `corrupt`; `invalidArgument`
///   for a context of no tokens or of more than the model was made for.
public func preflight(
    _ source: ModelSource, options: PreflightOptions = PreflightOptions()
) async throws -> Preflight {
    try translating { try OtaroFFI.preflight(source: source, options: options.library) }
}

/// Opens a model, on a thread of the library's own. Cancelling the task ends it at its next step.
///
/// - Parameters:
///   - source: Where the model is.
///   - options: The device, and what is made ready or verified first.
///   - progress: Called with each news, the last of which has the stage `ready`, before this returns. May be a closure of the main
///     actor; news that come while it runs are skipped but for the last.
/// - Throws: ``OtaroError`` of kind `io`, `notACheckpoint`, `unsupportedVersion`, `unsupportedModel`, `corrupt`, `missingPlanes`,
///   `tokenizer`, `noAdapter`, `device`, `invalidArgument`; `cancelled` if the task was cancelled.
public func open(
    _ source: ModelSource, options: OpenOptions = OpenOptions(),
    progress: (@Sendable (OpenProgress) async -> Void)? = nil
) async throws -> Model {
    let opening = try translating { try OtaroFFI.open(source: source, options: options.library) }
    return try await withTaskCancellationHandler {
        if let progress {
            while let news = await opening.nextProgress() {
                await progress(news)
            }
        }
        return Model(try await awaiting { try await opening.model() })
    } onCancel: {
        opening.cancel()
    }
}

/// One block of text for a bug report where no model could be opened: library, processor, memory. Touches no GPU.
public func diagnostics() -> String {
    // Text is all that comes of it; a defect inside is text as well.
    do {
        return try OtaroFFI.diagnostics()
    } catch {
        return OtaroError(error).reason
    }
}

/// Which library this is: version, revision, target.
public func buildInfo() -> BuildInfo {
    OtaroFFI.buildInfo()
}
