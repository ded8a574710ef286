//! Prompts: what a person can pick to have a model launch a built-in job and read what came of it.

use rmcp::{
    ErrorData,
    model::{GetPromptResult, JsonObject, Prompt, PromptArgument, PromptMessage, Role},
};

/// One prompt.
struct Row {
    name: &'static str,
    title: &'static str,
    about: &'static str,
    /// What to look for in the report.
    ask: &'static str,
}

/// One for each built-in job, named as it.
const ROWS: &[Row] = &[
    Row {
        name: "log_triage",
        title: "Triage the logs",
        about: "Collect the logs of the allow-listed containers and tell what needs attention.",
        ask: "Tell me what needs attention first and why: new or rising errors, crashes, time-outs, disk, memory, failed \
              logins. Quote the evidence that the report gives, and say what to check next. If nothing is wrong, say so.",
    },
    Row {
        name: "gpu_report",
        title: "Report on the GPUs",
        about: "Summarise how the GPUs were used and what is wasted.",
        ask: "Tell me which cards were busy, which were reserved but idle, whether memory is tight anywhere, and what \
              one change would help most. Use the report's figures.",
    },
    Row {
        name: "service_map",
        title: "Map the services",
        about: "Map containers, networks and ports, and what changed.",
        ask: "Describe the services and how they depend on each other, and point out what is unhealthy, exposed or new.",
    },
];

/// All of them, for the list.
pub(super) fn all() -> Vec<Prompt> {
    ROWS.iter()
        .map(|row| {
            let focus = PromptArgument::new("focus")
                .with_description("What to look at in particular, e.g. a container or a card.")
                .with_required(false);
            Prompt::new(row.name, Some(row.about), Some(vec![focus])).with_title(row.title)
        })
        .collect()
}

/// The messages of one.
pub(super) fn get(name: &str, arguments: JsonObject) -> Result<GetPromptResult, ErrorData> {
    let row = ROWS.iter().find(|row| row.name == name).ok_or_else(|| {
        let known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        ErrorData::invalid_params(format!("there is no prompt {name}; there are {}", known.join(", ")), None)
    })?;
    let mut focus = None;
    for (argument, value) in arguments {
        match (argument.as_str(), value.as_str()) {
            ("focus", Some(text)) if text.chars().count() <= 500 => focus = Some(text.to_owned()),
            ("focus", _) => {
                return Err(ErrorData::invalid_params("focus is a text of up to 500 characters", None));
            }
            _ => {
                let detail = format!("there is no argument {argument}; the only one is focus");
                return Err(ErrorData::invalid_params(detail, None));
            }
        }
    }
    let focus = focus.map(|text| format!(" Look at this in particular: {text}")).unwrap_or_default();
    let text = format!(
        "Launch a run of the job {name} with launch_run (jobs: [\"{name}\"], wait_seconds: 300). If it has not ended by \
         then, ask get_run until it has. Then read its report with get_run_report. {}{focus}",
        row.ask
    );
    Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]).with_description(row.about))
}
