//! What natsinit speaks: of services, and of the machine.

use super::table::{ERROR, NOTHING, event, may, must, request};
use super::{Body, Group, Shape, Type};
use Type::{Flag, Number, Object, Objects, Text, Texts, Whole, Word};

static SERVICE: Shape = Shape {
    name: "Service",
    about: "How a service stands.",
    body: Body::Object(&[
        must("name", Text, ""),
        must(
            "state",
            Word(&["starting", "ready", "stopping", "stopped", "failed", "backoff", "waiting"]),
            "a oneshot that is done counts as `ready`; `waiting`: for what triggers it",
        ),
        may("pid", Whole, "while it runs"),
        may("exit_code", Whole, "of its last process"),
        may("signal", Whole, "that ended its last process"),
        may("errno", Whole, "why no process could be made"),
        must("restarts", Whole, "since it was last started on purpose"),
        must("at_us", Whole, "when it came to this state"),
    ]),
};

static SERVICES: Shape = Shape { name: "Services", about: "", body: Body::List(&SERVICE) };

static SERVICE_OR_ERROR: Shape =
    Shape { name: "ServiceOrError", about: "", body: Body::OneOf(&[&SERVICE, &ERROR]) };

static USAGE: Shape = Shape {
    name: "Usage",
    about: "What a service has used; what this machine cannot tell is left out.",
    body: Body::Object(&[
        must("name", Text, ""),
        may("cpu_us", Whole, "processor time in microseconds"),
        may("rss", Whole, "resident memory in bytes"),
        may("peak_rss", Whole, "the most it ever had"),
        may("pids", Whole, "processes and threads"),
        may("io_read", Whole, "bytes read from storage"),
        may("io_write", Whole, "bytes written to storage"),
    ]),
};

static USAGES: Shape = Shape { name: "Usages", about: "", body: Body::List(&USAGE) };

static USAGE_OR_ERROR: Shape =
    Shape { name: "UsageOrError", about: "", body: Body::OneOf(&[&USAGE, &ERROR]) };

static LOG_EVENT: Shape = Shape {
    name: "ServiceLog",
    about: "A line that a service printed.",
    body: Body::Object(&[
        must("name", Text, "the service"),
        must("at_us", Whole, "when it was read"),
        must("line", Text, "without the newline; what is not UTF-8 becomes U+FFFD"),
        may("dropped", Whole, "so many lines before it were not told: it prints too much"),
    ]),
};

static LOG_LINE: Shape = Shape {
    name: "LogLine",
    about: "A line that is kept.",
    body: Body::Object(&[must("at_us", Whole, "when it was read"), must("line", Text, "")]),
};

static LOG_LINES: Shape = Shape { name: "LogLines", about: "", body: Body::List(&LOG_LINE) };

static LOG_LINES_OR_ERROR: Shape =
    Shape { name: "LogLinesOrError", about: "", body: Body::OneOf(&[&LOG_LINES, &ERROR]) };

static BOOTED: Shape = Shape {
    name: "BootedService",
    about: "The first start of a service. Times that have not come yet are left out.",
    body: Body::Object(&[
        must("name", Text, ""),
        may("wanted_us", Whole, "it was first wanted"),
        may("spawned_us", Whole, "it first had a process: until then it waited for others"),
        may("ready_us", Whole, "it was first ready, or done"),
        must("state", Text, "how it stands now"),
        must("needs", Texts, "what it waited for"),
    ]),
};

static BOOT: Shape = Shape {
    name: "Boot",
    about: "How long it took until services were ready.",
    body: Body::Object(&[
        must("started_us", Whole, "when natsinit began; of process 1 that is what the kernel took"),
        may("healthy_us", Whole, "when all that was wanted at boot was ready"),
        must("services", Objects(&BOOTED), ""),
    ]),
};

static RELOAD: Shape = Shape {
    name: "Reload",
    about: "May be empty.",
    body: Body::Object(&[may("dry_run", Flag, "only say what would change")]),
};

static CHANGED: Shape = Shape {
    name: "ChangedService",
    about: "A service whose definition is another one.",
    body: Body::Object(&[
        must("name", Text, ""),
        must("keys", Texts, "the keys that differ"),
        must("restart", Flag, "what differs needs a new process"),
    ]),
};

static PLAN: Shape = Shape {
    name: "ReloadPlan",
    about: "What a reload changes.",
    body: Body::Object(&[
        must("added", Texts, "services that are new"),
        must("removed", Texts, "services that are stopped and forgotten"),
        must("changed", Objects(&CHANGED), ""),
        may("mistakes", Texts, "why definitions are left out, one line each: `FILE:LINE: KEY: …`"),
    ]),
};

static PLAN_OR_ERROR: Shape =
    Shape { name: "ReloadPlanOrError", about: "", body: Body::OneOf(&[&PLAN, &ERROR]) };

static SERVICE_OOM: Shape = Shape {
    name: "ServiceOom",
    about: "A process of a service was killed because memory ran out.",
    body: Body::Object(&[
        must("name", Text, "the service"),
        may("pid", Whole, "where the kernel's log can be read"),
        may("comm", Text, "what the process called itself"),
        must("killed", Whole, "how many of the service's were killed so, this one included"),
        must("at_us", Whole, "when"),
    ]),
};

static OOM: Shape = Shape {
    name: "Oom",
    about: "A process was killed because memory ran out.",
    body: Body::Object(&[
        may("name", Text, "the service that it belonged to"),
        must("pid", Whole, ""),
        must("comm", Text, "what it called itself"),
        may("group", Text, "its cgroup, if the kernel told"),
        may("memory", Whole, "bytes of memory of its own that it had"),
        must("everywhere", Flag, "memory of the whole machine was short, not only that of a cgroup"),
        must("at_us", Whole, "when"),
    ]),
};

static STALL: Shape = Shape {
    name: "Stall",
    about: "How long threads waited.",
    body: Body::Object(&[
        must("avg10", Number, "per cent of the last 10 seconds"),
        must("avg60", Number, "of the last minute"),
        must("avg300", Number, "of the last 5 minutes"),
        must("total_us", Whole, "since boot, or since the cgroup was made"),
    ]),
};

static PRESSURE: Shape = Shape {
    name: "Pressure",
    about: "Something is short (the kernel's PSI).",
    body: Body::Object(&[
        may("name", Text, "the service, where it is about one"),
        must("resource", Word(&["cpu", "memory", "io"]), ""),
        may("some", Object(&STALL), "some threads waited"),
        may("full", Object(&STALL), "all of them did"),
        must("at_us", Whole, "when"),
    ]),
};

static STALLS: Shape = Shape {
    name: "Stalls",
    about: "",
    body: Body::Object(&[
        may("some", Object(&STALL), "some threads waited"),
        may("full", Object(&STALL), "all of them did"),
    ]),
};

static PRESSURES: Shape = Shape {
    name: "Pressures",
    about: "What is short; left out where the kernel does not measure it.",
    body: Body::Object(&[
        may("cpu", Object(&STALLS), ""),
        may("memory", Object(&STALLS), ""),
        may("io", Object(&STALLS), ""),
    ]),
};

static CPU: Shape = Shape {
    name: "CpuTime",
    about: "Processor time of all processors since boot, as proc_stat(5) divides it.",
    body: Body::Object(&[
        must("cpus", Whole, "processors"),
        may("user_us", Whole, ""),
        may("nice_us", Whole, ""),
        may("system_us", Whole, ""),
        may("idle_us", Whole, ""),
        may("iowait_us", Whole, ""),
        may("irq_us", Whole, ""),
        may("softirq_us", Whole, ""),
        may("steal_us", Whole, ""),
    ]),
};

static MEMORY: Shape = Shape {
    name: "Memory",
    about: "Memory in bytes, as proc_meminfo(5) counts it.",
    body: Body::Object(&[
        may("total", Whole, ""),
        may("free", Whole, "unused"),
        may("available", Whole, "what programs could get without swapping"),
        may("buffers", Whole, ""),
        may("cached", Whole, ""),
        may("shared", Whole, "tmpfs and shared memory"),
        may("slab", Whole, "the kernel's own objects"),
        may("swap_total", Whole, ""),
        may("swap_free", Whole, ""),
    ]),
};

static LOAD: Shape = Shape {
    name: "Load",
    about: "",
    body: Body::Object(&[
        must("1", Number, "of the last minute"),
        must("5", Number, "of the last 5 minutes"),
        must("15", Number, "of the last 15 minutes"),
        must("running", Whole, "threads that run or could"),
        must("threads", Whole, "all threads"),
    ]),
};

static STORAGE: Shape = Shape {
    name: "Storage",
    about: "A file system on storage of this machine.",
    body: Body::Object(&[
        must("target", Text, "where it is mounted"),
        must("fstype", Text, ""),
        must("size", Whole, "bytes"),
        must("available", Whole, "bytes left for ordinary users"),
        must("read_only", Flag, ""),
    ]),
};

static SYSTEM_USAGE: Shape = Shape {
    name: "SystemUsage",
    about: "What the machine has used, and what is left.",
    body: Body::Object(&[
        must("at_us", Whole, "when"),
        must("uptime_us", Whole, "since boot, times of sleep included"),
        may("cpu", Object(&CPU), ""),
        must("memory", Object(&MEMORY), ""),
        may("load", Object(&LOAD), ""),
        may("processes", Whole, ""),
        may("pressure", Object(&PRESSURES), ""),
        must(
            "storage",
            Objects(&STORAGE),
            "file systems that answer without reading their medium; at most 32",
        ),
    ]),
};

static SYSTEM_INFO: Shape = Shape {
    name: "SystemInfo",
    about: "What the machine is.",
    body: Body::Object(&[
        may("hostname", Text, ""),
        may("kernel", Text, "its release"),
        may("architecture", Text, "as `uname -m` says it"),
        may("os", Text, "what the distribution calls itself"),
        may("version", Text, "of lunix"),
        may("board", Text, "the board or the product"),
        may(
            "slot",
            Text,
            "which slot of the flash it runs from (`lunix.slot=` of the kernel's command line)",
        ),
        may("boot_id", Text, "the kernel's, of this boot"),
        must("init", Flag, "whoever answers is process 1"),
        may("cpus", Whole, "processors"),
        may("memory", Whole, "bytes"),
        must("uptime_us", Whole, "since boot, times of sleep included"),
    ]),
};

static ORDER: Shape = Shape {
    name: "Order",
    about: "May be empty.",
    body: Body::Object(&[may("reason", Text, "for the log; at most 256 characters count")]),
};

static ACCEPTED: Shape = Shape {
    name: "Accepted",
    about: "It is being done.",
    body: Body::Object(&[must("accepted", Flag, "true")]),
};

static ACCEPTED_OR_ERROR: Shape =
    Shape { name: "AcceptedOrError", about: "", body: Body::OneOf(&[&ACCEPTED, &ERROR]) };

static HEALTHY: Shape = Shape {
    name: "Healthy",
    about: "All that was wanted at boot is ready.",
    body: Body::Object(&[
        must("ready", Whole, "how many services are"),
        must("started_us", Whole, "when natsinit began"),
        must("at_us", Whole, "when"),
    ]),
};

pub(super) const GROUP: Group = Group {
    program: "natsinit",
    about: "Services, and the machine they run on: states, logs, usage, and what to start, stop and restart.",
    notes: &[
        "`<name>` is a single token: every byte that a token cannot hold is `_`.",
        "`…_us` is microseconds; points in time are on the kernel's monotonic clock, which starts at boot.",
        "A session (`natsinit --session`, `lunix up`) answers `system.info` and `system.usage`, and nothing else of `system.*`: \
         it tells no pressure and takes no orders.",
        "The kernel tells pressure by itself, at most once a second: when in a second threads waited 150 ms for memory or \
         storage, or 500 ms for a processor; without CAP_SYS_RESOURCE, when it was twice as much in two seconds.",
        "Events before a server is there are kept, up to a bound, and told when there is one.",
        "A refused request is answered `{error}`, with the headers `Nats-Service-Error` and `Nats-Service-Error-Code`: 400 where it \
         makes no sense, 404 where there is no such service, 409 where it cannot be as things stand.",
        "A session answers for its own services alone. natsinit of a machine answers 404 for every other `<name>`, once it has asked \
         `service.<name>.here` and heard from the server that nobody is there: at once, or after a second where somebody \
         listens to everything. Where a machine and a session have a service of the same name, both answer. The first 32 \
         services of a session are known so.",
        "By the rules that natsd brings along everybody may ask how services stand and what they use; logs, and \
         what changes anything, are root's.",
    ],
    subjects: &[
        event("service.<name>.<state>", "A service has come to a state.", &SERVICE),
        event("service.<name>.log", "It printed a line.", &LOG_EVENT),
        event("service.<name>.oom", "A process of it was killed because memory ran out.", &SERVICE_OOM),
        event("service.<name>.pressure", "Its memory is short.", &PRESSURE),
        request("service.list", "All services.", &NOTHING, &SERVICES),
        request("service.usage", "What all services that run have used.", &NOTHING, &USAGES),
        request("service.boot", "How long each took until it was ready.", &NOTHING, &BOOT),
        request(
            "service.reload",
            "Reads all definitions anew, and restarts what needs it.",
            &RELOAD,
            &PLAN_OR_ERROR,
        ),
        request("service.<name>.status", "One service.", &NOTHING, &SERVICE_OR_ERROR),
        request(
            "service.<name>.start",
            "Starts it; the answer is its state then.",
            &NOTHING,
            &SERVICE_OR_ERROR,
        ),
        request("service.<name>.stop", "Stops it.", &NOTHING, &SERVICE_OR_ERROR),
        request("service.<name>.restart", "Stops it and starts it again.", &NOTHING, &SERVICE_OR_ERROR),
        request("service.<name>.reload", "Makes it read its configuration.", &NOTHING, &SERVICE_OR_ERROR),
        request("service.<name>.freeze", "Holds all its processes still.", &NOTHING, &SERVICE_OR_ERROR),
        request("service.<name>.thaw", "Lets them go on.", &NOTHING, &SERVICE_OR_ERROR),
        request("service.<name>.usage", "What it has used.", &NOTHING, &USAGE_OR_ERROR),
        request("service.<name>.here", "As `status`, but of services of sessions alone.", &NOTHING, &SERVICE),
        request("service.<name>.tail", "The last lines that it printed.", &NOTHING, &LOG_LINES_OR_ERROR),
        request("system.info", "What the machine is.", &NOTHING, &SYSTEM_INFO),
        request("system.usage", "What it has used, and what is left.", &NOTHING, &SYSTEM_USAGE),
        event("system.healthy", "All that was wanted at boot is ready.", &HEALTHY),
        event("system.pressure.<resource>", "Something is short.", &PRESSURE),
        event(
            "system.oom",
            "A process that is no service's, or any if all memory was short, was killed.",
            &OOM,
        ),
        request("system.shutdown", "Stops everything and switches off.", &ORDER, &ACCEPTED_OR_ERROR),
        request("system.reboot", "Stops everything and starts anew.", &ORDER, &ACCEPTED_OR_ERROR),
        request("system.halt", "Stops everything and stays so.", &ORDER, &ACCEPTED_OR_ERROR),
        request(
            "system.kexec",
            "Stops everything and starts the kernel that `kexec -l` loaded.",
            &ORDER,
            &ACCEPTED_OR_ERROR,
        ),
        request("system.reexec", "Executes natsinit anew; services go on.", &ORDER, &ACCEPTED_OR_ERROR),
    ],
};
