package dev.otaro.sample

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.imePadding
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.lazy.LazyColumn
import androidx.compose.foundation.lazy.items
import androidx.compose.foundation.lazy.rememberLazyListState
import androidx.compose.foundation.text.selection.SelectionContainer
import androidx.compose.material3.Button
import androidx.compose.material3.LinearProgressIndicator
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.OutlinedTextField
import androidx.compose.material3.Scaffold
import androidx.compose.material3.Slider
import androidx.compose.material3.Text
import androidx.compose.material3.TextButton
import androidx.compose.runtime.Composable
import androidx.compose.runtime.LaunchedEffect
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.remember
import androidx.compose.runtime.saveable.rememberSaveable
import androidx.compose.runtime.setValue
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.unit.dp
import kotlin.math.roundToInt

/** The whole app. */
@Composable
fun ChatScreen(state: ChatState, chat: Chat) {
    Scaffold { insets ->
        Column(Modifier.fillMaxSize().padding(insets).imePadding().padding(horizontal = 16.dp)) {
            Dial(state, chat::setPrecision)
            Messages(state.messages, Modifier.weight(1f))
            state.problem?.let { ProblemRow(it, chat) }
            when (val phase = state.phase) {
                is Phase.Opening -> Opening(phase)
                Phase.Failed -> Button(chat::openAgain) { Text("Open again") }
                Phase.Ready, Phase.Answering -> Question(phase == Phase.Answering, chat)
            }
        }
    }
}

/** The precision, and what it does to speed and memory. */
@Composable
private fun Dial(state: ChatState, onChange: (Int) -> Unit) {
    Slider(
        value = state.wantedMantissaBits.toFloat(),
        onValueChange = { if (it.roundToInt() != state.wantedMantissaBits) onChange(it.roundToInt()) },
        valueRange = 3f..8f,
        steps = 4,
    )
    val held = if (state.mantissaBits < state.wantedMantissaBits) " (held at ${state.mantissaBits})" else ""
    val figures = listOfNotNull(
        "${state.wantedMantissaBits} bits$held",
        state.tokensPerSecond?.let { "%.1f tokens/s".format(it) },
        state.modelBytes?.let { "model ${megabytes(it)}" },
        state.appBytes?.let { "app ${megabytes(it)}" },
    )
    Text(figures.joinToString("  ·  "), style = MaterialTheme.typography.labelMedium)
}

private fun megabytes(bytes: Long): String = "%.1f MB".format(bytes / 1e6)

@Composable
private fun Messages(messages: List<Message>, modifier: Modifier) {
    val list = rememberLazyListState()
    LaunchedEffect(messages.size, messages.lastOrNull()?.text) {
        if (messages.isNotEmpty()) list.scrollToItem(messages.lastIndex, Int.MAX_VALUE / 2)
    }
    LazyColumn(modifier.fillMaxWidth(), list, verticalArrangement = Arrangement.spacedBy(12.dp)) {
        items(messages) { message ->
            Text(if (message.fromPerson) "You" else "otaro", style = MaterialTheme.typography.labelSmall)
            SelectionContainer { Text(message.text.ifEmpty { "…" }) }
        }
    }
}

@Composable
private fun Opening(phase: Phase.Opening) {
    val progress = phase.progress
    Text(progress?.stage?.name?.lowercase() ?: "opening", style = MaterialTheme.typography.labelSmall)
    LinearProgressIndicator({ progress?.fraction?.toFloat() ?: 0f }, Modifier.fillMaxWidth().padding(vertical = 16.dp))
}

@Composable
private fun Question(answering: Boolean, chat: Chat) {
    var text by rememberSaveable { mutableStateOf("") }
    Row(Modifier.padding(vertical = 8.dp), Arrangement.spacedBy(8.dp), Alignment.CenterVertically) {
        OutlinedTextField(text, { text = it }, Modifier.weight(1f), maxLines = 4)
        if (answering) {
            Button(chat::stop) { Text("Stop") }
        } else {
            Button(
                onClick = {
                    chat.ask(text)
                    text = ""
                },
                enabled = text.isNotBlank(),
            ) { Text("Ask") }
        }
    }
}

@Composable
private fun ProblemRow(problem: Problem, chat: Chat) {
    val advice = when (problem.advice) {
        Advice.GET_THE_MODEL_AGAIN -> "The model's file is damaged or missing: install the app again."
        Advice.UPDATE_THE_APP -> "This model needs a newer version of the app."
        Advice.BEGIN_ANEW -> "The conversation is too long to go on."
        Advice.LOWER_THE_PRECISION -> "This precision is not on the device yet: take a lower one."
        Advice.OPEN_AGAIN -> "The device failed."
        Advice.REPORT -> "Something went wrong that should not have."
    }
    Column {
        Text(advice, color = MaterialTheme.colorScheme.error)
        SelectionContainer { Text(problem.reason, style = MaterialTheme.typography.bodySmall) }
        when (problem.advice) {
            Advice.BEGIN_ANEW -> TextButton(chat::beginAnew) { Text("Begin anew") }
            Advice.OPEN_AGAIN -> TextButton(chat::openAgain) { Text("Open again") }
            Advice.REPORT -> {
                val report = remember(problem) { chat.diagnostics() }
                SelectionContainer { Text(report, style = MaterialTheme.typography.bodySmall) }
            }
            Advice.GET_THE_MODEL_AGAIN, Advice.UPDATE_THE_APP, Advice.LOWER_THE_PRECISION -> Unit
        }
    }
}
