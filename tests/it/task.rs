//! Tasks as words: their files' heads, the line for agents, and the plan of the queue.

mod front_matter;
mod plan;
mod prompt;
mod results;
