//! How the price of a call grows with threads, open files, mapped areas, and the size of a directory.

use crate::Failure;
use crate::measure::Bench;
use crate::side::Side;
use crate::suite::WorkDir;

/// A curve: what the guest program `scale` is asked for, and at which sizes.
struct Curve {
    name: &'static str,
    unit: &'static str,
    sizes: &'static [u32],
}

const THREADS: &[u32] = &[1, 2, 8, 64];
const CURVES: &[Curve] = &[
    Curve { name: "open_threads", unit: "threads", sizes: THREADS },
    Curve { name: "read_threads", unit: "threads", sizes: THREADS },
    Curve { name: "futex_threads", unit: "threads", sizes: THREADS },
    Curve { name: "read_open_files", unit: "open files", sizes: &[10, 1_000, 100_000] },
    Curve { name: "mmap_areas", unit: "areas", sizes: &[10, 1_000, 60_000] },
    Curve { name: "stat_depth", unit: "names", sizes: &[2, 20, 200] },
    Curve { name: "stat_directory", unit: "files", sizes: &[100, 10_000, 1_000_000] },
];

/// Prints every curve that `only` names (all, when it names none): nanoseconds of processor time a call.
pub fn print(bench: &Bench, only: &[String]) {
    for curve in CURVES {
        if !only.is_empty() && !only.iter().any(|part| curve.name.contains(part.as_str())) {
            continue;
        }
        println!("{}", curve.name);
        for size in curve.sizes {
            let figure = |side: Side| -> Result<f64, Failure> {
                let text = bench.run(side, WorkDir::Memory, &["@scale", curve.name, &size.to_string()])?.1;
                text.trim().parse::<f64>().map_err(|_| format!("no figure but {text:?}").into())
            };
            match (figure(Side::Host), figure(Side::Litebox)) {
                (Ok(host), Ok(own)) => {
                    println!(
                        "  {size:>9} {:<12} host {host:>9.1} ns  litebox {own:>9.1} ns  {:>5.2}x",
                        curve.unit,
                        own / host
                    );
                }
                // What the host does not allow may be measured in the sandbox all the same.
                (Err(_), Ok(own)) => {
                    println!("  {size:>9} {:<12} host no figure      litebox {own:>9.1} ns", curve.unit);
                }
                (_, Err(why)) => println!("  {size:>9} {:<12} no figure: {why}", curve.unit),
            }
        }
    }
}
