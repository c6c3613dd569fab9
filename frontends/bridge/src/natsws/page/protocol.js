// The NATS client protocol: what a server says, cut into operations, and what is said to it.

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const [CR, LF] = [13, 10];

// An INFO is the longest line that a server says.
const LONGEST_LINE = 65_536;

// A message. Its texts are made only where somebody looks at them.
export class Message {
  #header;

  constructor(subject, reply, header, data) {
    this.subject = subject;
    this.reply = reply;
    this.data = data;
    this.#header = header;
  }

  get text() {
    return decoder.decode(this.data);
  }

  // What it says as JSON; undefined if that is none.
  get json() {
    try {
      return JSON.parse(this.text);
    } catch {
      return undefined;
    }
  }

  // `{ status, fields: [[name, value], …] }` (ADR-4).
  get headers() {
    const [first, ...lines] = decoder.decode(this.#header).split("\r\n");
    const fields = lines.filter((line) => line.includes(":")).map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    });
    return { status: first.split(/\s+/)[1] ?? "", fields };
  }

  // The first field of this name, in whatever case; "" if there is none.
  field(name) {
    return this.headers.fields.find(([found]) => found.toLowerCase() === name.toLowerCase())?.[1] ?? "";
  }
}

// Operations out of a stream that may be cut anywhere.
export class Reader {
  #rest = new Uint8Array();

  // Yields `[verb, what]` for each that is complete. Throws on a line without end.
  *read(more) {
    let bytes = more;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + more.length);
      bytes.set(this.#rest);
      bytes.set(more, this.#rest.length);
    }
    let start = 0;
    for (let end; (end = bytes.indexOf(LF, start)) >= 0; ) {
      const line = decoder.decode(bytes.subarray(start, bytes[end - 1] === CR ? end - 1 : end));
      const space = line.indexOf(" ");
      const verb = (space < 0 ? line : line.slice(0, space)).toUpperCase();
      let next = end + 1;
      if (verb === "MSG" || verb === "HMSG") {
        const words = line.slice(space).trim().split(/\s+/);
        const size = Number(words.at(-1));
        const head = verb === "HMSG" ? Number(words.at(-2)) : 0;
        const reply = words.length > (verb === "HMSG" ? 4 : 3) ? words[2] : "";
        if (!(size >= head)) throw new Error(`what is said is not NATS: ${line.slice(0, 80)}`);
        if (bytes.length < next + size + 2) break;
        // A copy: a slice would keep all that came with it.
        const data = bytes.slice(next + head, next + size);
        yield [verb, { sid: Number(words[1]), message: new Message(words[0], reply, bytes.slice(next, next + head), data) }];
        next += size + 2;
      } else {
        yield [verb, space < 0 ? "" : line.slice(space + 1)];
      }
      start = next;
    }
    this.#rest = bytes.slice(start);
    if (this.#rest.length > LONGEST_LINE && this.#rest.indexOf(LF) < 0) throw new Error("a line without end");
  }
}

// PUB, or HPUB if there are headers: `[[name, value], …]`.
export function publication(subject, reply, headers, payload) {
  const data = typeof payload === "string" ? encoder.encode(payload) : payload;
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const header = encoder.encode(lines && `NATS/1.0\r\n${lines}\r\n`);
  const sizes = lines ? `${header.length} ${header.length + data.length}` : data.length;
  const line = encoder.encode(`${lines ? "HPUB" : "PUB"} ${subject} ${reply && `${reply} `}${sizes}\r\n`);
  const bytes = new Uint8Array(line.length + header.length + data.length + 2);
  bytes.set(line);
  bytes.set(header, line.length);
  bytes.set(data, line.length + header.length);
  bytes.set([CR, LF], bytes.length - 2);
  return { bytes, size: header.length + data.length };
}

// Why a subject cannot be published to; "" if it can.
export function fault(subject) {
  if (subject === "") return "A subject is missing.";
  if (/[\s\p{Cc}]/u.test(subject)) return "A subject has no blanks.";
  const tokens = subject.split(".");
  if (tokens.includes("")) return "A subject has no empty token: no dot first, last or twice.";
  if (tokens.includes("*") || tokens.includes(">")) return "Nobody publishes to * or >.";
  return "";
}

// What stands for a name in a subject: bytes that a token cannot hold become `_`.
export const token = (name) => name.replace(/[\s\p{Cc}.*>]/gu, "_") || "_";
