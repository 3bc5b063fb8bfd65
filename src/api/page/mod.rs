//! The page for people: one document without a framework, a build step or anything from elsewhere.
//!
//! It asks `/status` and `/events` and shows them as text. Its policy lets nothing run or be styled
//! but the very script and style that are in it: [`POLICY`] names their hashes, which a test computes.

/// The whole document.
pub const PAGE: &str = concat!(
    include_str!("head.html"),
    "<style>",
    include_str!("style.css"),
    "</style>",
    include_str!("body.html"),
    "<script type=\"module\">",
    include_str!("words.js"),
    include_str!("now.js"),
    include_str!("past.js"),
    include_str!("poll.js"),
    "</script>\n</body>\n</html>\n",
);

/// INVARIANT: the hashes are those of the style and of the script in [`PAGE`].
pub const POLICY: &str = "default-src 'none'; \
    script-src 'sha256-gPL9DD0MCIHW7C73MDtFmGfLuVy3Ilx6MoqaLXT3ZgI='; \
    style-src 'sha256-rtJfqD90X6Vp2zYAvrDNqYWHUggTt2r+xPhvY+S+ykg='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";
