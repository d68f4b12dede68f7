import OtaroFFI

// By hand, since the generator knows no defaults for values such as `.auto`.

/// How a model is opened.
public struct OpenOptions: Equatable, Sendable {
    /// Which device is to answer. `.auto` takes the fastest one that computes what it should, found by a short trial.
    public var device: DeviceChoice
    /// Threads of the CPU; nil for as many as there are fast cores.
    public var threads: Int?
    /// The format of the KV cache on the CPU.
    public var kvFormat: KvFormat
    /// The precision, 3 to 8, whose planes are made ready ahead of the first token; nil for none.
    public var prepareMantissaBits: Int?
    /// Whether every byte is compared with its hash first, which reads the whole file.
    public var verify: Bool
    /// A folder of the app's that is kept between starts: a GPU driver that ends the process at its first try is found out by it at
    /// the next start, which then is on the CPU.
    public var stateFolder: String?

    /// Options with these defaults; see the properties.
    public init(
        device: DeviceChoice = .auto, threads: Int? = nil, kvFormat: KvFormat = .f16,
        prepareMantissaBits: Int? = nil, verify: Bool = false, stateFolder: String? = nil
    ) {
        self.device = device
        self.threads = threads
        self.kvFormat = kvFormat
        self.prepareMantissaBits = prepareMantissaBits
        self.verify = verify
        self.stateFolder = stateFolder
    }

    var library: OtaroFFI.OpenOptions {
        OtaroFFI.OpenOptions(
            device: device, threads: threads.map(UInt32.init(clamping:)), kvFormat: kvFormat,
            prepareMantissaBits: prepareMantissaBits.map(UInt32.init(clamping:)), verify: verify,
            stateFolder: stateFolder)
    }
}

/// What ``preflight(_:options:)`` is asked.
public struct PreflightOptions: Equatable, Sendable {
    /// Tokens of context that will be used; nil for what the model was made for.
    public var contextLength: Int?
    /// Where it is to run. `.auto` counts with a GPU, which takes more.
    public var device: DeviceChoice
    /// The format of the KV cache on the CPU.
    public var kvFormat: KvFormat
    /// Threads of the CPU; nil for as many as there are fast cores.
    public var threads: Int?
    /// What is free, in bytes, if the app has a budget of its own; nil to ask the system.
    public var freeBytes: UInt64?

    /// Options with these defaults; see the properties.
    public init(
        contextLength: Int? = nil, device: DeviceChoice = .auto, kvFormat: KvFormat = .f16,
        threads: Int? = nil, freeBytes: UInt64? = nil
    ) {
        self.contextLength = contextLength
        self.device = device
        self.kvFormat = kvFormat
        self.threads = threads
        self.freeBytes = freeBytes
    }

    var library: OtaroFFI.PreflightOptions {
        OtaroFFI.PreflightOptions(
            contextLength: contextLength.map(UInt32.init(clamping:)), device: device, kvFormat: kvFormat,
            threads: threads.map(UInt32.init(clamping:)), freeBytes: freeBytes)
    }
}
