//! The chapters of the guide on the kinds of descriptors.

pages! {}
