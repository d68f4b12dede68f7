import Foundation
import OtaroFFI

// Values that cross the border as they are. Their fields are documented where they are generated from.

/// What an app may want to tell apart among errors.
public typealias ErrorKind = OtaroFFI.ErrorKind

/// Where a model is: a file, or a part of an open one.
public typealias ModelSource = OtaroFFI.ModelSource
/// Which device is to answer: `.auto`, `.cpu` or `.gpu`.
public typealias DeviceChoice = OtaroFFI.DeviceChoice
/// In which numbers the CPU keeps keys and values: `.f16` or `.int8`.
public typealias KvFormat = OtaroFFI.KvFormat
/// How far the opening of a model is.
public typealias OpenProgress = OtaroFFI.OpenProgress
/// What is being done while a model is opened.
public typealias OpenStage = OtaroFFI.OpenStage
/// What a model is.
public typealias ModelInfo = OtaroFFI.ModelInfo
/// Which library this is.
public typealias BuildInfo = OtaroFFI.BuildInfo

/// What a model will take, and the highest precision that fits.
public typealias Preflight = OtaroFFI.Preflight
/// What a precision takes, in bytes.
public typealias PrecisionNeed = OtaroFFI.PrecisionNeed
/// What is free, and who says so.
public typealias FreeMemory = OtaroFFI.FreeMemory
/// Who says what is free.
public typealias FreeMemorySource = OtaroFFI.FreeMemorySource

/// How a session begins: its precision, the bounds of signals, its context, its messages.
public typealias SessionOptions = OtaroFFI.SessionOptions
/// One message of a conversation.
public typealias ChatMessage = OtaroFFI.ChatMessage
/// Who says a message.
public typealias Role = OtaroFFI.Role
/// When an answer ends, and how its tokens are chosen.
public typealias GenerationOptions = OtaroFFI.GenerationOptions
/// How the next token is chosen.
public typealias SamplerOptions = OtaroFFI.SamplerOptions
/// Some tokens of an answer: those of 20 to 50 ms.
public typealias TokenBatch = OtaroFFI.TokenBatch
/// Why an answer ended.
public typealias FinishReason = OtaroFFI.FinishReason
/// The figures of a session at a moment.
public typealias Metrics = OtaroFFI.Metrics

/// A signal of the system: memory pressure, heat, low power mode.
public typealias Signal = OtaroFFI.Signal
/// How scarce memory is.
public typealias MemoryPressure = OtaroFFI.MemoryPressure
/// How hot the device is.
public typealias ThermalState = OtaroFFI.ThermalState
/// What a signal led to.
public typealias Decision = OtaroFFI.Decision

extension ModelSource {
    /// A file, by its URL: of the bundle, of the folder for application support.
    ///
    /// - Parameter url: A file URL.
    public static func file(_ url: URL) -> ModelSource {
        .path(path: url.path)
    }

    /// A part of an open file, such as a document that the person picked. The descriptor is duplicated when the model is
    /// opened: close the handle after that.
    ///
    /// - Parameters:
    ///   - handle: A regular file, open for reading.
    ///   - offset: Where the model begins, in bytes: a multiple of 4.
    ///   - length: Bytes of the model; to the end of the file by default.
    public static func file(_ handle: FileHandle, offset: UInt64 = 0, length: UInt64? = nil) -> ModelSource {
        .descriptor(descriptor: handle.fileDescriptor, offset: offset, length: length)
    }
}
