//! Tenants as files: exported from one platform and imported into another one, or the same.
//!
//! An archive is a zip: `manifest.json` says of which tenant it is and which modules made its tables,
//! and each table has an entry of lines. `file.rs` reads and writes it, and trusts nothing that it
//! reads. Tables are made by the modules that are served where the tenant arrives.

mod export;
mod file;
mod import;
mod manifest;

use std::sync::Arc;

pub use self::export::Exported;
pub use self::import::Imported;
use crate::runtime::Registry;

/// Exports and imports tenants, while the platform runs or not.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> hostel::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let platform = hostel::Platform::builder().data_dir(folder.path()).build().await?;
/// let file = folder.path().join("default.zip");
/// platform.archives().export(&"default".parse()?, &file).await?;
/// let imported = platform.archives().import(&file, Some("copy".parse()?)).await?;
/// assert_eq!(imported.tenant.slug.as_str(), "copy");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Archives {
    registry: Arc<Registry>,
}

impl Archives {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry }
    }
}
