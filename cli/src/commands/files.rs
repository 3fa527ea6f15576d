//! Files: to the server, from it, and away.

use crate::{
    connect::connect,
    context::Context,
    failure::{Exit, Failure},
    progress::follow,
    talk::Talk,
    view::{FileList, FileView, Received, Removed, Stored, words},
};
use hypersend_client::{
    Client, Upload,
    protocol::{file::FileInfo, id::FileId, name::FileName, size::Size},
};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

pub(super) async fn store(context: &Context, path: &Path) -> Result<(), Failure> {
    expect_file(path).await?;
    let session = connect(context).await?;
    let (file, already_stored) = upload(&session.client, &context.talk, path).await?;
    context.out.print(&Stored { file: FileView::from(&file), already_stored })
}

/// Fails at once for what would fail later, before anything else is done for it.
pub(super) async fn expect_file(path: &Path) -> Result<(), Failure> {
    Ok(Upload::check(path).await?)
}

/// Uploads a file, however often the connection is lost. Also says whether the server had it already.
pub(super) async fn upload(client: &Client, talk: &Talk, path: &Path) -> Result<(FileInfo, bool), Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let began = Instant::now();
    let upload = client.upload(path);
    let progress = upload.progress();
    let file = follow(talk, &name, progress.clone(), upload.finish()).await?;
    // Without any progress there was nothing to send.
    let already_stored = progress.borrow().is_none();
    talk.say(&if already_stored {
        format!("{name}: already stored")
    } else {
        format!("{name}: {} stored in {}", Size(file.size), words::duration(began.elapsed()))
    });
    Ok((file, already_stored))
}

pub(super) async fn list(context: &Context) -> Result<(), Failure> {
    let session = connect(context).await?;
    let (mut files, mut before) = (Vec::new(), None);
    loop {
        let page = session.ask(session.client.files(before)).await?;
        files.extend(page.files.iter().map(FileView::from));
        before = page.files.last().map(|file| file.id);
        if !page.more || before.is_none() {
            break;
        }
    }
    if files.is_empty() {
        context.talk.say("no files yet; hypersend upload PATH stores one");
    }
    context.out.print(&FileList { files })
}

pub(super) async fn fetch(context: &Context, id: FileId, output: Option<PathBuf>) -> Result<(), Failure> {
    let session = connect(context).await?;
    let info = session.ask(session.client.file(id)).await?;
    let received = download(&session.client, &context.talk, &info, output).await?;
    context.out.print(&received)
}

pub(super) async fn remove(context: &Context, id: FileId) -> Result<(), Failure> {
    let session = connect(context).await?;
    session.ask(session.client.delete_file(id)).await?;
    context.talk.say("removed");
    context.out.print(&Removed { id: id.to_string() })
}

/// Downloads a file, however often the connection is lost.
pub(super) async fn download(
    client: &Client,
    talk: &Talk,
    info: &FileInfo,
    output: Option<PathBuf>,
) -> Result<Received, Failure> {
    let path = destination(output, &info.name)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let began = Instant::now();
    let download = client.download(info.id, &path);
    let file = follow(talk, &name, download.progress(), download.finish()).await?;
    let (size, took) = (Size(file.size), words::duration(began.elapsed()));
    talk.say(&format!("{name}: {size} received in {took}"));
    Ok(Received::new(&file, &path))
}

/// Into a folder under its own name, or to the path itself.
fn destination(output: Option<PathBuf>, name: &FileName) -> Result<PathBuf, Failure> {
    let Some(output) = output else { return Ok(PathBuf::from(name.as_str())) };
    let slash = output.as_os_str().as_encoded_bytes().ends_with(b"/");
    let path = if slash || output.is_dir() { output.join(name.as_str()) } else { output };
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            let message = format!("there is no folder {}", folder.display());
            Err(Failure::new(Exit::LocalFile, "local-file", message).or_try("make it first, or another path"))
        }
        _ => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_into_a_folder_under_its_own_name() {
        let dir = tempfile::tempdir().unwrap();
        let name = FileName::parse("film.mkv").unwrap();
        let to = |output: Option<PathBuf>| destination(output, &name);
        assert_eq!(to(None).unwrap(), Path::new("film.mkv"));
        assert_eq!(to(Some(dir.path().to_owned())).unwrap(), dir.path().join("film.mkv"));
        assert_eq!(to(Some(dir.path().join("other"))).unwrap(), dir.path().join("other"));
        assert_eq!(to(Some("other".into())).unwrap(), Path::new("other"));
        let missing = to(Some(dir.path().join("none/"))).unwrap_err();
        assert_eq!(missing.exit, Exit::LocalFile);
    }
}
