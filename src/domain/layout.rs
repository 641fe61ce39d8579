//! Where things are in the pod: keystow's own layout, or kees' (`InitMain.java`) for those who come from it.

use super::options::Encoding;

/// Names and places of what the init container reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// `/secret/secret`, `/secret/resources`, `/secret/leases`; values as they are.
    #[default]
    Keystow,
    /// `/bsycorp-init/{secrets,resources,leases}.properties`; values in base64.
    Kees,
}

impl Layout {
    /// The layout's word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Keystow => "keystow",
            Self::Kees => "kees",
        }
    }

    /// Reads the layout's word.
    pub fn read(text: &str) -> Option<Self> {
        [Self::Keystow, Self::Kees].into_iter().find(|layout| layout.word() == text)
    }

    /// The directory that containers find their files in, unless the pod names another.
    pub fn directory(self) -> &'static str {
        match self {
            Self::Keystow => "/secret",
            Self::Kees => "/bsycorp-init",
        }
    }

    /// The directory of the downward-API file with the pod's annotations.
    pub fn annotations_directory(self) -> &'static str {
        match self {
            Self::Keystow => "/annotations",
            Self::Kees => "/podinfo",
        }
    }

    /// The name of that file.
    pub const ANNOTATIONS_FILE: &str = "annotations";

    /// Java properties with all secrets.
    pub fn secrets_file(self) -> &'static str {
        match self {
            Self::Keystow => "secret",
            Self::Kees => "secrets.properties",
        }
    }

    /// Java properties with all resources.
    pub fn resources_file(self) -> &'static str {
        match self {
            Self::Keystow => "resources",
            Self::Kees => "resources.properties",
        }
    }

    /// Java properties with all leases.
    pub fn leases_file(self) -> &'static str {
        match self {
            Self::Keystow => "leases",
            Self::Kees => "leases.properties",
        }
    }

    /// kubelet's environment file, which `fileKeyRef` reads.
    pub const ENVIRONMENT_FILE: &str = "secret.env";

    /// One JSON object with all secrets.
    pub const JSON_FILE: &str = "secret.json";

    /// The directory with one file a secret.
    pub const FILES_DIRECTORY: &str = "files";

    /// The names in the mount directory that no resource, lease or template may have.
    pub fn taken_files(self) -> &'static [&'static str] {
        match self {
            Self::Keystow => &["secret", "resources", "leases", "secret.env", "secret.json", "files"],
            Self::Kees => &[
                "secrets.properties",
                "resources.properties",
                "leases.properties",
                "secret.env",
                "secret.json",
                "files",
            ],
        }
    }

    /// How values are written unless the pod says otherwise.
    pub fn encoding(self) -> Encoding {
        match self {
            Self::Keystow => Encoding::Plain,
            Self::Kees => Encoding::Base64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_layout_is_taken() {
        for layout in [Layout::Keystow, Layout::Kees] {
            assert_eq!(Layout::read(layout.word()), Some(layout));
            for file in [
                layout.secrets_file(),
                layout.resources_file(),
                layout.leases_file(),
                Layout::ENVIRONMENT_FILE,
                Layout::JSON_FILE,
                Layout::FILES_DIRECTORY,
            ] {
                assert!(layout.taken_files().contains(&file), "{file}");
            }
        }
    }
}
