//! Plots as SVG: drawn by a library, coloured by the page's style sheet, with the values beneath the pointer and in a table.
//!
//! The library writes colours into its elements; here each series has a colour that nothing else has, which is then replaced
//! by a class, so that light and dark are the style sheet's business and no style stands in the page.

use jiff::Timestamp;
use maud::{Markup, PreEscaped, html};
use plotters::prelude::*;

use super::parts;

/// A plot's own units; it is scaled to its place.
const WIDTH: u32 = 460;
const HEIGHT: u32 = 150;
/// Room for the numbers of the axes.
const LEFT: u32 = 44;
const BOTTOM: u32 = 22;
/// Room for half of the last number.
const RIGHT: u32 = 10;
/// Room above the highest value.
const TOP: u32 = 8;
/// Series that have a colour of their own; the rest is one.
pub(super) const SERIES_MAX: usize = 6;
/// The colours that stand for classes until they are replaced: series, axis, words.
const SERIES: [RGBColor; SERIES_MAX] = [
    RGBColor(1, 0, 241),
    RGBColor(2, 0, 241),
    RGBColor(3, 0, 241),
    RGBColor(4, 0, 241),
    RGBColor(5, 0, 241),
    RGBColor(6, 0, 241),
];
const AXIS: RGBColor = RGBColor(7, 0, 241);
const WORDS: RGBColor = RGBColor(8, 0, 241);

/// One line or one layer of bars.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    pub(super) name: String,
    /// Which of the [`SERIES_MAX`] colours it has.
    pub(super) colour: usize,
    /// A value for each slot; `None` where there was nothing to measure.
    pub(super) values: Vec<Option<f64>>,
}

/// What a plot shows.
pub(super) struct Plot<'a> {
    /// The name of the figure, for who cannot see it.
    pub(super) name: &'a str,
    /// When each slot begins, oldest first.
    pub(super) slots: &'a [Timestamp],
    pub(super) series: &'a [Series],
    /// How a value is written.
    pub(super) unit: fn(f64) -> String,
}

impl Plot<'_> {
    /// Bars on top of each other.
    pub(super) fn bars(&self) -> Markup {
        let top = (0..self.slots.len()).map(|slot| self.total(slot)).fold(0.0, f64::max);
        self.figure(&self.draw(top, |chart| {
            for slot in 0..self.slots.len() {
                let mut base = 0.0;
                for series in self.series {
                    let value = series.values.get(slot).copied().flatten().unwrap_or(0.0);
                    if value > 0.0 {
                        let x = slot as f64;
                        let bar = Rectangle::new(
                            [(x + 0.12, base), (x + 0.88, base + value)],
                            SERIES[series.colour % SERIES_MAX].filled(),
                        );
                        chart.draw_series(std::iter::once(bar)).ok()?;
                        base += value;
                    }
                }
            }
            Some(())
        }))
    }

    /// A line for each series; where nothing was measured it is interrupted.
    pub(super) fn lines(&self) -> Markup {
        let values = self.series.iter().flat_map(|series| series.values.iter().flatten().copied());
        self.figure(&self.draw(values.fold(0.0, f64::max), |chart| {
            for series in self.series {
                let colour = SERIES[series.colour % SERIES_MAX];
                let point = |(slot, value): (usize, &Option<f64>)| value.map(|value| (slot as f64 + 0.5, value));
                let points: Vec<Option<(f64, f64)>> = series.values.iter().enumerate().map(point).collect();
                for run in points.split(Option::is_none).filter(|run| !run.is_empty()) {
                    let run: Vec<(f64, f64)> = run.iter().flatten().copied().collect();
                    if let [one] = run.as_slice() {
                        chart.draw_series(std::iter::once(Circle::new(*one, 2, colour.filled()))).ok()?;
                    } else {
                        chart.draw_series(LineSeries::new(run, colour.stroke_width(2))).ok()?;
                    }
                }
            }
            Some(())
        }))
    }

    fn total(&self, slot: usize) -> f64 {
        self.series.iter().filter_map(|series| series.values.get(slot).copied().flatten()).sum()
    }

    fn draw(&self, highest: f64, inner: impl FnOnce(&mut Chart<'_, '_>) -> Option<()>) -> String {
        let mut svg = String::new();
        let drawn = self.draw_into(&mut svg, nice(highest), inner);
        if drawn.is_none() { String::new() } else { classed(&svg) }
    }

    fn draw_into(
        &self,
        svg: &mut String,
        top: f64,
        inner: impl FnOnce(&mut Chart<'_, '_>) -> Option<()>,
    ) -> Option<()> {
        let root = SVGBackend::with_string(svg, (WIDTH, HEIGHT)).into_drawing_area();
        let slots = self.slots.len().max(1) as f64;
        let mut chart = ChartBuilder::on(&root)
            .margin_top(TOP)
            .margin_right(RIGHT)
            .set_label_area_size(LabelAreaPosition::Left, LEFT)
            .set_label_area_size(LabelAreaPosition::Bottom, BOTTOM)
            .build_cartesian_2d(0.0..slots, 0.0..top)
            .ok()?;
        let hour = |x: &f64| {
            let slot = self.slots.get(*x as usize);
            slot.map_or_else(|| "now".to_owned(), |at| at.strftime("%H:%M").to_string())
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(5)
            .y_labels(3)
            .max_light_lines(0)
            .x_label_formatter(&hour)
            .y_label_formatter(&|y| (self.unit)(*y))
            .label_style(("sans-serif", 14).into_font().color(&WORDS))
            .axis_style(AXIS)
            .bold_line_style(AXIS)
            .draw()
            .ok()?;
        inner(&mut chart)?;
        drop(chart);
        root.present().ok()
    }

    fn figure(&self, svg: &str) -> Markup {
        html! {
            figure.plot {
                @if svg.is_empty() { p.soft { "The plot could not be drawn." } } @else { (PreEscaped(self.with_hits(svg))) }
                (self.legend())
                (self.table())
            }
        }
    }

    /// An invisible column above each slot that tells its values under the pointer.
    fn with_hits(&self, svg: &str) -> String {
        let step = f64::from(WIDTH - LEFT - RIGHT) / self.slots.len().max(1) as f64;
        let hits = html! {
            @for (slot, at) in self.slots.iter().enumerate() {
                @let told = self.told(slot);
                @if !told.is_empty() {
                    rect.hit x=(format!("{:.1}", f64::from(LEFT) + slot as f64 * step)) y="0" width=(format!("{step:.1}")) height=(HEIGHT - BOTTOM) {
                        title { (at.strftime("%H:%M")) ": " (told) }
                    }
                }
            }
        };
        let open = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"");
        let label = html! { (self.name) }.into_string();
        let body = svg.split_once('>').map_or("", |(_, body)| body);
        let body = body.trim_end().strip_suffix("</svg>").unwrap_or(body);
        format!("{open}{label}\">{body}{}</svg>", hits.into_string())
    }

    fn told(&self, slot: usize) -> String {
        let value = |series: &Series| {
            let value = series.values.get(slot).copied().flatten().filter(|value| *value > 0.0)?;
            Some(format!("{} {}", series.name, (self.unit)(value)))
        };
        self.series.iter().filter_map(value).collect::<Vec<_>>().join(", ")
    }

    fn legend(&self) -> Markup {
        html! {
            figcaption.legend {
                @for series in self.series {
                    span {
                        svg viewBox="0 0 10 10" aria-hidden="true" { rect class={ "f" (series.colour % SERIES_MAX + 1) } width="10" height="10" rx="2" {} }
                        (parts::title(&series.name))
                    }
                }
            }
        }
    }

    fn table(&self) -> Markup {
        html! {
            // Around it, since a table's caption is a box of its own that some browsers would show.
            div.sr {
                table {
                    caption { (self.name) }
                    thead { tr { th { "Time" } @for series in self.series { th { (parts::title(&series.name)) } } } }
                    tbody {
                        @for (slot, at) in self.slots.iter().enumerate() {
                            @if !self.told(slot).is_empty() {
                                tr {
                                    td { (at.strftime("%H:%M")) }
                                    @for series in self.series { td { (series.values.get(slot).copied().flatten().map_or_else(String::new, self.unit)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

/// A colour for each of `names` that stays the same when others come and go: one that the name itself tells, unless that is
/// taken. At most [`SERIES_MAX`] names.
pub(super) fn colours(names: &[&str]) -> Vec<usize> {
    let own = |name: &str| name.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|at| names[*at]);
    let (mut colours, mut taken) = (vec![0; names.len()], [false; SERIES_MAX]);
    for at in order {
        let first = own(names[at]);
        let free = (0..SERIES_MAX).map(|next| (first + next) % SERIES_MAX).find(|colour| !taken[*colour]);
        colours[at] = free.unwrap_or_default();
        taken[colours[at]] = true;
    }
    colours
}

/// A round number at or above `highest`, for the top of an axis.
fn nice(highest: f64) -> f64 {
    let highest = highest.max(1.0) * 1.05;
    let power = 10f64.powf(highest.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].into_iter().map(|step| step * power).find(|top| *top >= highest).unwrap_or(highest)
}

/// The library's colours as classes.
fn classed(svg: &str) -> String {
    let mut text = svg.to_owned();
    for (index, colour) in SERIES.iter().enumerate() {
        let hex = format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2);
        text = text.replace(&format!("fill=\"{hex}\""), &format!("class=\"f{}\"", index + 1));
        text = text.replace(&format!("stroke=\"{hex}\""), &format!("class=\"l{}\"", index + 1));
    }
    let hex = |colour: &RGBColor| format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2);
    text = text.replace(&format!("stroke=\"{}\"", hex(&AXIS)), "class=\"axis\"");
    text.replace(&format!("fill=\"{}\"", hex(&WORDS)), "class=\"words\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_classes_and_no_colours_and_tells_its_values() {
        let slots: Vec<Timestamp> =
            (0..60).map(|n| Timestamp::from_second(1_764_000_000 + n * 60).expect("in range")).collect();
        let values = (0..60).map(|n| Some(f64::from(n % 7))).collect();
        let series = [Series { name: "a<b>".into(), colour: 0, values }];
        let plot = Plot { name: "Events", slots: &slots, series: &series, unit: |value| format!("{value}") };
        for shown in [plot.bars().into_string(), plot.lines().into_string()] {
            assert!(shown.contains("f1") && shown.contains("a&lt;b&gt; 6"), "{shown}");
            assert!(
                !shown.contains("fill=\"#") && !shown.contains("style=") && !shown.contains("stroke=\"#"),
                "{shown}"
            );
            assert!(shown.len() < 24 * 1024, "{} bytes", shown.len());
        }
    }

    #[test]
    fn a_handler_keeps_its_colour_when_others_overtake_it_or_come() {
        let colour =
            |names: &[&str], name| colours(names)[names.iter().position(|known| *known == name).expect("there")];
        let before = colour(&["github", "plain"], "plain");
        assert_eq!(before, colour(&["plain", "github"], "plain"));
        assert_eq!(before, colour(&["stripe", "plain", "github"], "plain"));
        let mut all = colours(&["a", "g", "m", "s", "y", "others"]);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5], "no two have the same");
    }

    #[test]
    fn nothing_at_all_is_a_plot_too() {
        let plot = Plot { name: "Events", slots: &[], series: &[], unit: |value| format!("{value}") };
        assert!(plot.bars().into_string().contains("<svg"));
        assert_eq!((nice(0.0), nice(7.0), nice(83.0)), (2.0, 8.0, 100.0));
    }
}
