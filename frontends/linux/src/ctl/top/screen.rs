//! A terminal that is ours for a while.

use std::io::{self, IsTerminal as _, Write as _};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};

use super::picture::Picture;
use crate::terminal::Terminal;

/// Its other screen, without a cursor, and keys as they are typed; all as before when this goes away.
#[derive(Debug)]
pub(super) struct Screen {
    before: Option<Termios>,
}

impl Screen {
    pub(super) fn enter() -> Self {
        let stdin = io::stdin();
        let before = if stdin.is_terminal() { tcgetattr(&stdin).ok() } else { None };
        if let Some(before) = &before {
            let mut keys = before.clone();
            // Ctrl-C and Ctrl-Z are signals as ever.
            keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            keys.special_codes[SpecialCodeIndex::VMIN] = 1;
            keys.special_codes[SpecialCodeIndex::VTIME] = 0;
            let _ = tcsetattr(&stdin, OptionalActions::Now, &keys);
        }
        let _ = say("\x1b[?1049h\x1b[?25l");
        Self { before }
    }

    /// Draws over what was there, so that nothing flickers.
    pub(super) fn draw(&self, picture: &Picture) -> io::Result<()> {
        // The window may have another size since the last time.
        let terminal = Terminal::of(io::stdout());
        let rows = tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_row));
        let rows = rows.filter(|rows| *rows > 0).unwrap_or(24);
        let mut text = String::from("\x1b[H");
        for (at, line) in picture.lines(&terminal, rows).iter().take(rows).enumerate() {
            if at > 0 {
                text += "\r\n";
            }
            text += line;
            text += "\x1b[K";
        }
        text += "\x1b[J";
        say(&text)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = say("\x1b[?25h\x1b[?1049l");
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
