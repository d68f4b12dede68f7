// swift-tools-version: 6.0
import PackageDescription

// `cargo xtask swift` makes what is not in git: Sources/OtaroFFI and Sources/OtaroC, and on a Mac OtaroC.xcframework.

#if os(Linux)
// The library of this machine, for development and tests; the linker learns its folder from `cargo xtask swift`.
let library = Target.systemLibrary(name: "OtaroC")
#else
// A release refers to an archive instead: .binaryTarget(name: "OtaroC", url: "https://…/OtaroC.xcframework.zip", checksum: "…")
let library = Target.binaryTarget(name: "OtaroC", path: "OtaroC.xcframework")
#endif

let package = Package(
    name: "Otaro",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "Otaro", targets: ["Otaro"])],
    targets: [
        library,
        // Generated: kept out of the language mode that the module for apps is held to.
        .target(name: "OtaroFFI", dependencies: ["OtaroC"], swiftSettings: [.swiftLanguageMode(.v5)]),
        .target(name: "Otaro", dependencies: ["OtaroFFI"]),
        .testTarget(name: "OtaroTests", dependencies: ["Otaro"]),
    ],
    swiftLanguageModes: [.v6]
)
