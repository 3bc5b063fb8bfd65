//! Devices and what makes file systems on them.

use crate::guard::options::Options;
use crate::guard::path::readings;
use crate::guard::rules::any_path;
use crate::guard::text::is_unknown;
use crate::guard::walk::{Done, State, Walk};

impl Walk<'_> {
    pub fn judge_disk(&self, name: &str, args: &[String], state: &State) -> Done<()> {
        if name == "dd" {
            let mut targets = args.iter().filter_map(|arg| arg.strip_prefix("of="));
            return targets.try_for_each(|target| self.judge_write(target, state));
        }
        let options = Options::read(args, "LtbNU", &["label", "type", "uuid"]);
        // Without a device, or only to look.
        let looks = options.has('l')
            || options.has_long("list", 2)
            || (name == "wipefs" && (options.has('n') || options.has_long("no-act", 4)))
            || (name == "hdparm" && (options.has('I') || options.has('i')))
            || options
                .operands()
                .any(|operand| ["print", "status", "list", "open"].contains(&operand));
        if looks {
            return Ok(());
        }
        for operand in options.operands() {
            let home = &self.place.home;
            let is_device = readings(operand, &state.cwd, home).iter().any(|reading| {
                reading.path.starts_with("/dev/")
                    && !any_path(&self.rules.writable, &reading.path, home)
            });
            if is_device || is_unknown(operand) || ["zpool", "mdadm"].contains(&name) {
                self.refuse("partition-tool", &format!("{name} {}", args.join(" ")))?;
            }
        }
        Ok(())
    }
}
