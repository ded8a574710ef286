use super::*;

fn checked(json: &str) -> Result<Endpoints, Problem> {
    let env = |name: &str| (name == "VLLM_KEY").then(|| " sk-secret\n".to_owned());
    check(serde_json::from_str(json).unwrap(), env)
}

/// One endpoint with these fields on top of a good one's.
fn one(fields: &str) -> Result<Endpoints, Problem> {
    checked(&format!(r#"{{"endpoints": [{{"name": "a", "kind": "vllm", "models": {{"m": "m"}}{fields}}}]}}"#))
}

#[test]
fn the_usual_addresses_need_not_be_written() {
    let endpoints = checked(
        r#"{"endpoints": [
            {"name": "v", "kind": "vllm", "models": {"default": "big"}},
            {"name": "l", "kind": "llama_cpp", "models": {"default": "any"}},
            {"name": "o", "kind": "ollama", "models": {"default": "qwen3:8b", "small": "qwen3:1b"}},
            {"name": "x", "kind": "openai", "base_url": "http://10.0.0.7:9000/api/v1/", "models": {"default": "y"}}
        ], "idle_timeout_seconds": 5}"#,
    )
    .unwrap();
    let urls: Vec<&str> = endpoints.list.iter().map(|endpoint| endpoint.base_url.as_str()).collect();
    assert_eq!(
        urls,
        [
            "http://127.0.0.1:8000/v1",
            "http://127.0.0.1:8080/v1",
            "http://127.0.0.1:11434/v1",
            "http://10.0.0.7:9000/api/v1"
        ]
    );
    assert_eq!(endpoints.model_names().into_iter().collect::<Vec<_>>(), ["default", "small"]);
    assert_eq!(endpoints.timeouts.idle, Duration::from_secs(5));
    assert_eq!(endpoints.timeouts.connect, Duration::from_secs(3));
}

#[test]
fn what_can_not_be_used_is_refused_with_a_sentence() {
    let wrong_urls = [
        "https://user@10.0.0.1/v1",
        "https:///v1",
        "10.0.0.1:8000",
        "http://",
        "http://user:pw@10.0.0.1/v1",
        "http://10.0.0.1/v1?x=1",
        "ftp://10.0.0.1",
        "/v1",
        "http://a b/",
    ];
    for url in wrong_urls {
        let seen = one(&format!(r#", "base_url": "{url}""#)).map(|_| ());
        assert_eq!(seen, Err(Problem::Url { name: "a".into() }), "{url}");
    }
    for remote in ["http://8.8.8.8/v1", "http://[2001:db8::1]:8000/v1"] {
        let seen = one(&format!(r#", "base_url": "{remote}""#)).map(|_| ());
        assert!(matches!(seen, Err(Problem::Remote { .. })), "{remote}");
        assert!(one(&format!(r#", "base_url": "{remote}", "allow_remote": true"#)).is_ok(), "{remote}");
    }
    assert!(one(r#", "base_url": "http://[::1]:8000/v1""#).is_ok());
    let secured = one(r#", "base_url": "https://10.0.0.1/v1""#).unwrap();
    assert!(secured.list[0].tls.is_some() && secured.list[0].base_url == "https://10.0.0.1/v1");
    assert!(matches!(one(r#", "base_url": "https://8.8.8.8/v1""#), Err(Problem::Remote { .. })));
    let no_roots = tempfile::NamedTempFile::new().unwrap();
    for path in [no_roots.path(), Path::new("/no/such/roots.pem")] {
        let seen = one(&format!(r#", "base_url": "https://10.0.0.1/v1", "ca_file": "{}""#, path.display()));
        let problem = seen.map(|_| ()).unwrap_err();
        assert!(problem.to_string().contains(&path.display().to_string()), "{problem}");
    }
    let seen = one(r#", "base_url": "http://10.0.0.1/v1", "ca_file": "/roots.pem""#).map(|_| ());
    assert_eq!(seen, Err(Problem::RootsInTheClear { name: "a".into() }));
    let wrong = [
        r#"{"endpoints": []}"#,
        r#"{"endpoints": [{"name": "A", "kind": "vllm", "models": {"m": "m"}}]}"#,
        r#"{"endpoints": [{"name": "", "kind": "vllm", "models": {"m": "m"}}]}"#,
        r#"{"endpoints": [{"name": "a", "kind": "gpt", "models": {"m": "m"}}]}"#,
        r#"{"endpoints": [{"name": "a", "kind": "openai", "models": {"m": "m"}}]}"#,
        r#"{"endpoints": [{"name": "a", "kind": "vllm", "models": {}}]}"#,
        r#"{"endpoints": [{"name": "a", "kind": "vllm", "models": {"a b": "m"}}]}"#,
        r#"{"endpoints": [{"name": "a", "kind": "vllm", "models": {"m": ""}}]}"#,
        r#"{"endpoints": [{"name": "a", "kind": "vllm", "models": {"m": "m"}},
                          {"name": "a", "kind": "ollama", "models": {"m": "m"}}]}"#,
        r#"{"endpoints": [{"name": "a", "kind": "vllm", "models": {"m": "m"}}], "connect_timeout_seconds": 0}"#,
    ];
    for json in wrong {
        assert!(checked(json).is_err(), "{json}");
    }
    for unknown in [r#"{"endpoint": []}"#, r#"{"endpoints": [{"name": "a", "key": "sk-1"}]}"#, "[]"] {
        assert!(serde_json::from_str::<FileText>(unknown).is_err(), "{unknown}");
    }
}

#[test]
fn keys_come_from_a_file_or_the_environment_and_are_never_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "sk-secret\n").unwrap();
    let path = file.path().display();
    for fields in [r#", "key_env": "VLLM_KEY""#.to_owned(), format!(r#", "key_file": "{path}""#)] {
        let endpoints = one(&fields).unwrap();
        assert_eq!(endpoints.list[0].authorization.as_ref().unwrap().as_bytes(), b"Bearer sk-secret");
        assert!(!format!("{endpoints:?}").contains("secret"), "{endpoints:?}");
    }
    assert!(matches!(one(r#", "key_env": "NO_SUCH""#), Err(Problem::NoKey { .. })));
    assert!(matches!(one(r#", "key_file": "/no/such""#), Err(Problem::NoKey { .. })));
    assert!(matches!(one(r#", "key_file": "/dev/null""#), Err(Problem::BadKey { .. })));
    assert!(matches!(one(r#", "key_env": "VLLM_KEY", "key_file": "/x""#), Err(Problem::TwoKeys { .. })));
}

#[test]
fn a_file_that_is_not_there_or_no_json_is_an_error_with_its_name() {
    let missing = Endpoints::read(Path::new("/no/such/file.json")).unwrap_err();
    assert!(missing.to_string().contains("/no/such/file.json"), "{missing}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "{").unwrap();
    assert!(matches!(Endpoints::read(file.path()), Err(ConfigError::Malformed { .. })));
}
