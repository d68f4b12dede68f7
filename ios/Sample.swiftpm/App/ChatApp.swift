import ChatState
import Otaro
import SwiftUI

@main
struct ChatApp: App {
    // Of the app, not of a view: it outlives rotations and views that come and go.
    @State private var chat = Chat(
        source: Chat.bundledModel,
        // Kept between starts, for the GPU canary.
        options: OpenOptions(stateFolder: URL.applicationSupportDirectory.path(percentEncoded: false)))

    var body: some Scene {
        WindowGroup {
            ChatView(chat: chat)
        }
    }
}
