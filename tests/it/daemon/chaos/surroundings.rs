//! Hosts in trouble: full and read-only disks, used up inotify instances and descriptors, a clock that
//! has moved, two daemons at once, journals of before.
//!
//! The wall clock cannot be moved without moving that of the whole host: the kernel's time namespaces hold
//! the monotonic and the boot-time clock alone. Its steps are the simulation's.

mod descriptors;
mod disks;
mod hung;
mod journals;
mod kernel;
mod orphans;
mod room;
mod twins;
