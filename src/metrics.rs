//! What all metrics share: labels that are closed sets.
//!
//! Each part registers its own struct of metrics; this holds only the macro that makes a label out of an enum, so that
//! every value a label can have is written once, is known before the first event, and can be created at 0.

/// An enum whose variants are the values of a metric label.
macro_rules! label {
    (
        $(#[$about:meta])*
        $visibility:vis enum $name:ident {
            $($(#[$variant_about:meta])* $variant:ident = $text:literal,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility enum $name {
            $($(#[$variant_about])* $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// The value as it is written in metrics and logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl prometheus_client::encoding::EncodeLabelValue for $name {
            fn encode(
                &self,
                encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
            ) -> Result<(), std::fmt::Error> {
                prometheus_client::encoding::EncodeLabelValue::encode(&self.as_str(), encoder)
            }
        }
    };
}

pub(crate) use label;
