//! The guide, and the other pages of the repository: every Rust block in them is compiled and run as a test of the
//! documentation. Nothing else is in here. `scripts/test-docs` sees that no page is left out.

macro_rules! pages {
    ($($name:ident: $path:literal,)*) => {
        $(#[doc = include_str!($path)] mod $name {})*
    };
}

pages! {
    readme: "../README.md",
    readme_ru: "../README.ru.md",
    platform: "../PLATFORM.md",
    architecture: "../ARCHITECTURE.md",
    contributing: "../CONTRIBUTING.md",
    security: "../SECURITY.md",
    sys: "../sys/README.md",
    event_loop: "../loop/README.md",
    fiber: "../fiber/README.md",
    mosquitto: "../mosquitto-glue/README.md",
}

pages! {
    introduction: "src/introduction.md",
    getting_started: "src/getting-started.md",
    the_loop: "src/loop.md",
    loop_inside_another: "src/loop-inside-another.md",
    testing_with_time: "src/testing-with-time.md",
    fibers: "src/fibers.md",
    from_go: "src/from-go.md",
    from_tokio: "src/from-tokio.md",
    cancellation: "src/cancellation.md",
    c_libraries: "src/c-libraries.md",
    mqtt: "src/mqtt.md",
    porting: "src/porting.md",
    troubleshooting: "src/troubleshooting.md",
}

mod descriptors;
