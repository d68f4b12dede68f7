// swift-tools-version: 6.0
import PackageDescription

// Xcode opens this folder as an app. Elsewhere it is the state of the app and its tests, which need no SwiftUI.

#if canImport(AppleProductTypes)
    import AppleProductTypes

    let app: [Product] = [
        .iOSApplication(
            name: "Otaro Chat",
            targets: ["App"],
            bundleIdentifier: "dev.otaro.sample",
            displayVersion: "1.0",
            bundleVersion: "1",
            appIcon: .placeholder(icon: .chatMessage),
            accentColor: .presetColor(.teal),
            supportedDeviceFamilies: [.phone, .pad],
            supportedInterfaceOrientations: [.portrait, .landscapeLeft, .landscapeRight]
        )
    ]
    let appTarget: [Target] = [
        .executableTarget(name: "App", dependencies: ["ChatState"], path: "App")
    ]
#else
    let app: [Product] = []
    let appTarget: [Target] = []
#endif

let package = Package(
    name: "Sample",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: app,
    dependencies: [.package(name: "Otaro", path: "..")],
    targets: appTarget + [
        .target(
            name: "ChatState", dependencies: [.product(name: "Otaro", package: "Otaro")], path: "ChatState",
            resources: [.copy("Model")]),
        .testTarget(name: "ChatStateTests", dependencies: ["ChatState"], path: "Tests"),
    ],
    swiftLanguageModes: [.v6]
)
