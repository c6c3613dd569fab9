//! Compresses the page that natsws serves, and lists its files.

use std::io::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() -> std::io::Result<()> {
    let variable = |name| env::var(name).map_err(std::io::Error::other);
    let out = variable("OUT_DIR")?;
    let page = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("src/natsws/page");
    println!("cargo::rerun-if-changed={}", page.display());
    let mut files = fs::read_dir(&page)?.collect::<Result<Vec<_>, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    let mut list = String::from("&[\n");
    for file in files {
        let name =
            file.file_name().into_string().map_err(|_| std::io::Error::other("a name that is not UTF-8"))?;
        let compressed = Path::new(&out).join(format!("{name}.gz"));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&fs::read(file.path())?)?;
        fs::write(&compressed, encoder.finish()?)?;
        list += &format!("File {{ name: {name:?}, compressed: include_bytes!({compressed:?}) }},\n");
    }
    list.push_str("]\n");
    fs::write(Path::new(&out).join("page.rs"), list)
}
