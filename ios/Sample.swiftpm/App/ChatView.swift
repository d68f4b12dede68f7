import ChatState
import Otaro
import SwiftUI

/// The conversation, the figures, the precision and the field to type into.
struct ChatView: View {
    @Bindable var chat: Chat
    @State private var message = ""

    var body: some View {
        NavigationStack {
            VStack(spacing: 0) {
                ConversationView(lines: chat.lines)
                Divider()
                VStack(spacing: 12) {
                    FiguresView(chat: chat)
                    PrecisionSlider(mantissaBits: $chat.mantissaBits)
                    inputRow
                }
                .padding()
            }
            .navigationTitle("Otaro")
            .navigationBarTitleDisplayMode(.inline)
            .toolbar {
                Button("New", systemImage: "square.and.pencil", action: chat.clear)
                Button("Copy diagnostics", systemImage: "ladybug") {
                    UIPasteboard.general.string = chat.diagnostics()
                }
            }
        }
        .task { await chat.open() }
        .alert(isPresented: failed, error: chat.failure) { _ in
        } message: { failure in
            Text(failure.details)
        }
    }

    private var inputRow: some View {
        HStack {
            TextField("Message", text: $message)
                .textFieldStyle(.roundedBorder)
                .onSubmit(send)
            if chat.phase == .answering {
                Button("Stop", systemImage: "stop.circle.fill", action: chat.stop)
            } else {
                Button("Send", systemImage: "arrow.up.circle.fill", action: send)
                    .disabled(chat.phase != .ready || message.isEmpty)
            }
        }
        .labelStyle(.iconOnly)
        .font(.title2)
    }

    private var failed: Binding<Bool> {
        Binding(get: { chat.failure != nil }, set: { if !$0 { chat.failure = nil } })
    }

    private func send() {
        guard chat.phase == .ready else { return }
        chat.send(message)
        message = ""
    }
}

/// The lines, scrolled to the last.
private struct ConversationView: View {
    let lines: [Chat.Line]

    var body: some View {
        ScrollView {
            LazyVStack(spacing: 8) {
                ForEach(lines) { line in
                    Text(line.text)
                        .padding(10)
                        .background(
                            line.role == .user ? Color.accentColor.opacity(0.2) : Color.gray.opacity(0.15),
                            in: .rect(cornerRadius: 12)
                        )
                        .frame(maxWidth: .infinity, alignment: line.role == .user ? .trailing : .leading)
                }
            }
            .padding()
        }
        .defaultScrollAnchor(.bottom)
    }
}

/// Speed, memory and precision, as they are at this moment.
private struct FiguresView: View {
    let chat: Chat

    var body: some View {
        HStack {
            switch chat.phase {
            case .closed: Text("No model")
            case .opening(let fraction): ProgressView(value: fraction)
            case .ready, .answering: Text("E5M\(chat.mantissaBitsInForce)")
            }
            Spacer()
            if let rate = chat.tokensPerSecond {
                Text("\(rate, specifier: "%.0f") tokens/s")
            }
            if let bytes = chat.memoryBytes {
                Text(Int64(bytes), format: .byteCount(style: .memory))
            }
        }
        .font(.caption.monospacedDigit())
        .foregroundStyle(.secondary)
    }
}

/// 3 to 8 bits of mantissa.
private struct PrecisionSlider: View {
    @Binding var mantissaBits: Int

    var body: some View {
        let value = Binding(get: { Double(mantissaBits) }, set: { mantissaBits = Int($0) })
        Slider(value: value, in: 3...8, step: 1) {
            Text("Precision")
        } minimumValueLabel: {
            Text("3")
        } maximumValueLabel: {
            Text("8")
        }
        .accessibilityValue("\(mantissaBits) bits")
    }
}
