#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::*;

/// In the manner of Llama 3: every message trimmed, the date in the system message.
const LLAMA_3: &str = r#"{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"#;

/// ChatML, written so that the result depends on trimmed blocks.
const CHATML: &str = "\
{% for message in messages %}
    {% if loop.first and message['role'] != 'system' %}
{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\n' }}{% endif %}
";

/// In the manner of Llama 2: the system message goes inside the first user message, and roles alternate.
const LLAMA_2: &str = "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}\
{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}\
{% set system_message = false %}{% endif %}{% for message in loop_messages %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}\
{% if loop.index0 == 0 and system_message != false %}\
{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}\
{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}\
{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}\
{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}";

fn template(source: &str) -> ChatTemplate {
    let config = json!({ "bos_token": "<s>", "eos_token": { "content": "</s>" }, "chat_template": source })
        .to_string();
    ChatTemplate::new(&TextFiles { tokenizer_config: Some(config.as_bytes()), ..TextFiles::default() })
        .unwrap()
        .unwrap()
}

fn render(source: &str, messages: &[(Role, &str)], add_generation_prompt: bool) -> Result<String> {
    let messages: Vec<Message> =
        messages.iter().map(|(role, content)| Message::new(*role, *content)).collect();
    // 2024-12-06
    template(source).render(&messages, add_generation_prompt, UNIX_EPOCH + Duration::from_secs(1_733_500_000))
}

use Role::{Assistant, System, User};

#[test]
fn llama_3() {
    let text = render(
        LLAMA_3,
        &[(System, " Be brief. "), (User, "Hi\n"), (Assistant, "Hello."), (User, "Why?")],
        true,
    );
    let expected = "<s><|start_header_id|>system<|end_header_id|>\n\nToday Date: 06 Dec 2024\n\nBe brief.<|eot_id|>\
        <|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>\
        <|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>\
        <|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|>\
        <|start_header_id|>assistant<|end_header_id|>\n\n";
    assert_eq!(text.unwrap(), expected);
}

#[test]
fn chatml_with_trimmed_blocks() {
    let text = render(CHATML, &[(User, "Hi")], true).unwrap();
    let expected = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n\
        <|im_start|>assistant\n";
    assert_eq!(text, expected);
    let text = render(CHATML, &[(System, "S"), (User, "Hi"), (Assistant, "Yo")], false).unwrap();
    assert_eq!(
        text,
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>\n"
    );
}

#[test]
fn llama_2_with_a_system_message() {
    let text = render(
        LLAMA_2,
        &[(System, "Be kind."), (User, " Hi "), (Assistant, " Hello. "), (User, "Why?")],
        true,
    );
    let expected = "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n Hi [/INST] Hello. </s><s>[INST] Why? [/INST]";
    assert_eq!(text.unwrap(), expected);
}

#[test]
fn a_refusal_comes_in_the_words_of_the_template() {
    let error = render(LLAMA_2, &[(User, "one"), (User, "two")], true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ChatTemplate);
    assert!(
        error.to_string().ends_with("Conversation roles must alternate user/assistant/user/assistant/..."),
        "{error}"
    );

    let inside_a_macro =
        "{% macro check(m) %}{{ raise_exception('no ' ~ m.role) }}{% endmacro %}{{ check(messages[0]) }}";
    let error = render(inside_a_macro, &[(User, "x")], true).unwrap_err();
    assert!(error.to_string().ends_with("refuses the conversation: no user"), "{error}");
}

#[test]
fn python_habits_of_templates_work() {
    let cases = [
        (
            "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.content.split('|')[-1].lstrip() }}{% endfor %}",
            "b",
        ),
        ("{{ messages[0].get('name', 'nobody') }} {{ messages[0].items() | list | length }}", "nobody 2"),
        (
            "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
            "2",
        ),
        ("{{ messages[0].content.startswith('a') }} {{ none }} {{ true and 1.0 }}", "True None 1.0"),
        (
            "{{ messages[-1]['content'] is string }}{{ messages is iterable }}{{ messages[0] is mapping }}",
            "TrueTrueTrue",
        ),
        ("{{ messages[0] | tojson }}", r#"{"role": "user", "content": "a| b"}"#),
        ("a{% generation %}b{%- endgeneration -%} c", "ab"),
        ("{{ missing }}{% if missing is defined %}x{% endif %}{{ tools }}", "None"),
        ("{{ '<' ~ messages[0].content ~ '>&' }}", "<a| b>&"),
    ];
    for (source, expected) in cases {
        let text = render(source, &[(User, "a| b"), (Assistant, "c")], false).unwrap();
        assert_eq!(text.trim_end_matches('c'), expected.trim_end_matches('c'), "{source}");
    }
}

#[test]
fn the_template_is_found_where_checkpoints_keep_it() {
    let now = UNIX_EPOCH;
    let list = json!({ "chat_template": [{ "name": "tool_use", "template": "T" }, { "name": "default", "template": "D" }] });
    let list = list.to_string();
    let config = TextFiles { tokenizer_config: Some(list.as_bytes()), ..TextFiles::default() };
    assert_eq!(ChatTemplate::new(&config).unwrap().unwrap().render(&[], false, now).unwrap(), "D");
    let both = TextFiles { chat_template: Some(b"J"), ..config };
    assert_eq!(ChatTemplate::new(&both).unwrap().unwrap().render(&[], false, now).unwrap(), "J");
    assert!(ChatTemplate::new(&TextFiles::default()).unwrap().is_none());
    let none = TextFiles { tokenizer_config: Some(b"{}"), ..TextFiles::default() };
    assert!(ChatTemplate::new(&none).unwrap().is_none());
}

#[test]
fn a_broken_template_says_where() {
    let config = json!({ "chat_template": "a\n{% if %}" }).to_string();
    let error =
        ChatTemplate::new(&TextFiles { tokenizer_config: Some(config.as_bytes()), ..TextFiles::default() });
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ChatTemplate);
    assert!(error.to_string().contains("line 2"), "{error}");
}

#[test]
fn a_hostile_template_ends() {
    let cases = [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for a in range(1000) %}{{ 'x' * 100000 }}{% endfor %}",
        "{{ 'x' * 100000000000 }}",
    ];
    for source in cases {
        assert_eq!(render(source, &[], false).unwrap_err().kind(), ErrorKind::ChatTemplate, "{source}");
    }
    let nested =
        format!("{}1{}", "{% if ".to_owned() + &"(".repeat(100_000), ")".repeat(100_000) + " %}{% endif %}");
    let config = json!({ "chat_template": nested }).to_string();
    let files = TextFiles { tokenizer_config: Some(config.as_bytes()), ..TextFiles::default() };
    assert_eq!(ChatTemplate::new(&files).unwrap_err().kind(), ErrorKind::ChatTemplate);
}

#[test]
fn namespaces_carry_values_out_of_loops() {
    let cases = [
        (
            "{%- set ns = namespace(found=false, system_prompt='', is_first=true) -%}
            {%- for m in messages %}{%- if m['role'] == 'user' %}
            {%- if ns.is_first %}{% set ns.system_prompt = ns.system_prompt + 'A' %}{% set ns.is_first = false %}
            {%- else %}{% set ns.system_prompt = ns.system_prompt + '\\n\\nB' %}{%- endif %}{%- set ns.found = true %}
            {%- endif %}{%- endfor %}{{ ns.system_prompt }} {{ ns.found }} {{ ns.is_first }}",
            "A\n\nB True False",
        ),
        (
            "{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
            {%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}
            {%- if ns.multi_step_tool and message.role == 'user' and message.content is string %}
            {%- set ns.multi_step_tool = false %}{%- set ns.last_query_index = index %}
            {%- endif %}{%- endfor %}{{ ns.last_query_index }}",
            "2",
        ),
        (
            "{% set ns = namespace({'names': []}, last=none) %}{% for m in messages %}
            {% set ns.names = ns.names + [m.role] %}{% set ns.last = {'role': m.role, 'at': (loop.index0, 1)} %}
            {% endfor %}{{ ns.names | join(' ') }} {{ ns.last.at }} {{ ns.last | tojson }}",
            r#"user assistant user (2, 1) {"role": "user", "at": [2, 1]}"#,
        ),
        (
            "{% set ns = namespace() %}{% set ns.text | upper %}\n{{ messages[0].content }}!\n{% endset %}
            {%- set ns.rest = messages[1:] %}{{ ns.text }}{{ ns.rest | length }}{{ ns.get('x', 'no') }}{{ ns.y }}",
            "ONE!\n2no",
        ),
        (
            "{% set n = namespace(a=1) %}{% raw %}{% set n.a = 2 %}{% endraw %}{{ n.a }}{{ n }}",
            "{% set n.a = 2 %}1{'a': 1}",
        ),
        ("{% macro f(n) %}{% set n.a = n.a ~ '%}' %}{% endmacro %}{% set n = namespace(a='') %}{{ f(n) }}{{ n.a }}", "%}"),
    ];
    for (source, expected) in cases {
        let text = render(source, &[(User, "one"), (Assistant, "two"), (User, "three")], false).unwrap();
        assert_eq!(text, expected, "{source}");
    }
}

#[test]
fn a_namespace_refuses_what_could_overflow_the_stack() {
    let cases = [
        ("{% set n.a = n %}{{ n }}", "a namespace"),
        ("{% set n.a = [{'b': (1, n)}] %}{{ n }}", "a namespace"),
        ("{% set m = namespace(a=n) %}", "a namespace"),
        ("{% set m = namespace({'a': [n]}) %}", "a namespace"),
        ("{% set n.a = [n] | map('default') %}", "a namespace"),
        ("{% set n.a | default([n], true) %}{% endset %}{{ n }}", "a namespace"),
        ("{% for x in [n] %}{% set n.a = [n, n] | batch(1) %}{% endfor %}{{ n }}", "a namespace"),
        ("{% for i in range(100000) %}{% set n.a = [n.a] %}{% endfor %}{{ n }}", "deeper than 32"),
        (
            "{% for i in range(100000) %}{% set n.a = {'a': n.a} %}{% endfor %}{{ n.a == n.a }}",
            "deeper than 32",
        ),
        ("{% for i in range(100000) %}{% set n.a = {n.a: 1} %}{% endfor %}", "deeper than 32"),
        ("{% for i in range(100000) %}{% set n.a = dict(a=n.a) %}{% endfor %}", "deeper than 32"),
        (
            "{% for i in range(100000) %}{% set n.a = n.a | items | list %}{% set n.a = [n.a] %}{% endfor %}",
            "",
        ),
        (
            "{% for i in range(100000) %}{% set n.a = (n.a,) %}{% endfor %}{{ n.a | tojson }}",
            "deeper than 32",
        ),
        (
            "{% for i in range(99) %}{% set n.a | default([n.a], true) %}{% endset %}{% endfor %}",
            "deeper than 32",
        ),
        ("{% for i in range(99) %}{% for x in [n.a] %}{% set n.a = [loop] %}{% endfor %}{% endfor %}", ""),
        (
            "{% set n.a = [1] %}{% for i in range(99) %}{% set n.a = n.a + n.a %}{% endfor %}",
            "more than 100000 values",
        ),
        ("{% set n.a = 'x' %}{% for i in range(99) %}{% set n.a = n.a ~ n.a %}{% endfor %}", "bytes of text"),
        ("{% for i in range(99) %}{% set n.a %}x{{ n.a }}{{ n.a }}{% endset %}{% endfor %}", "bytes of text"),
        ("{% set n.a, n.b = [n, n] %}", "can only assign to namespaces"),
        ("{% set messages.a = 1 %}", "can only assign to namespaces, not sequence"),
        ("\n\n{% set\nn.a = n %}", "line 4"),
        ("{{ namespace(1) }}", "expected a map"),
        ("{{ {'a': {}} ~ '{#' }}{% set n.a = n %}{{ n }}{# #}", "a namespace"),
        ("{#}{{ '#}{% set n.a = n %}{{ n }}", "a namespace"),
    ];
    for (source, expected) in cases {
        let source = "{% set n = namespace() %}".to_owned() + source;
        match render(&source, &[], false) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ChatTemplate, "{source}");
                assert!(error.to_string().contains(expected), "{source}: {error}");
            }
            Ok(_) => assert!(expected.is_empty(), "{source}"),
        }
    }
}

#[test]
fn chains_that_overflow_the_compiler_are_refused() {
    let chain = |open: &str, link: &str, close: &str| format!("{open}{}{close}", link.repeat(100_000));
    let sources = [
        chain("{{ 'x'", "|trim", " }}"),
        chain("{{ x", "+x", " }}"),
        chain("{{ x", ".a", " }}"),
        chain("{{ x", "()", " }}"),
        chain("{{ ", "-", "x }}"),
        chain("{{ ", "not ", "x }}"),
        chain("{{ x", " if x else x", " }}"),
        chain("{% set n = namespace() %}{% set n.a = [1]", "|batch(1)", " %}"),
        chain("{% if x %}", "{% elif x %}", "{% endif %}"),
        "{% if x %}".to_owned() + &"{%- \x0c\nelif x %}".repeat(300) + "{% endif %}",
        chain("", "{% for x in [1] %}", ""),
        chain("{% set x = [] %}", "{% set x = [x] %}", "{{ x }}"),
    ];
    for source in sources {
        let files = TextFiles { chat_template: Some(source.as_bytes()), ..TextFiles::default() };
        let error = ChatTemplate::new(&files).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ChatTemplate);
        assert!(error.to_string().contains("more than"), "{error}");
    }
}
