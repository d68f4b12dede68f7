//! otaro-trainer: one fine-tuning, one checkpoint, every precision (OTARo, arXiv 2511.13147).

pub mod data;
