//! The ratios to the bare host as bars.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Failure;
use crate::report::Report;
use crate::side::Side;

const WIDTH: u32 = 900;
const ROW: i32 = 18;
const TOP: i32 = 40;
/// Where bars begin, and where a ratio of 1 ends.
const LEFT: i32 = 210;
const ONE: i32 = 360;
/// Longer bars are cut here; their figure is written behind them all the same.
const LONGEST: f64 = 1.7;

const MET: RGBColor = RGBColor(46, 125, 50);
const MISSED: RGBColor = RGBColor(198, 90, 17);

/// Draws the chart into an SVG file.
pub fn draw(report: &Report, path: &Path) -> Result<(), Failure> {
    let rows: Vec<_> = report.rows.iter().filter_map(|row| Some((row, row.ratio(Side::Litebox)?))).collect();
    let height = TOP + ROW * i32::try_from(rows.len())? + 20;
    let area = SVGBackend::new(path, (WIDTH, u32::try_from(height)?)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |size: i32, side: HPos| ("sans-serif", size).into_font().color(&BLACK).pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new("time in LiteBox / time on the bare host", (LEFT, 16), text(15, HPos::Left)))?;
    for ((row, ratio), line) in rows.iter().zip(0..) {
        let y = TOP + ROW * line;
        let end = LEFT + (ratio.min(LONGEST) * f64::from(ONE)) as i32;
        let color = if row.kept() == Some(false) { MISSED } else { MET };
        area.draw(&Text::new(row.name.clone(), (LEFT - 8, y + ROW / 2), text(12, HPos::Right)))?;
        area.draw(&Rectangle::new([(LEFT, y + 3), (end, y + ROW - 3)], color.filled()))?;
        area.draw(&Text::new(format!("{ratio:.2}"), (end + 6, y + ROW / 2), text(12, HPos::Left)))?;
        if let Some(goal) = row.goal_ratio.filter(|goal| *goal <= LONGEST) {
            let x = LEFT + (goal * f64::from(ONE)) as i32;
            area.draw(&PathElement::new([(x, y + 1), (x, y + ROW - 1)], BLACK.stroke_width(2)))?;
        }
    }
    area.draw(&PathElement::new([(LEFT + ONE, TOP - 8), (LEFT + ONE, height - 12)], BLACK.mix(0.4)))?;
    area.present()?;
    Ok(())
}
