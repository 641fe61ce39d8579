//! The stand-in for a node.
