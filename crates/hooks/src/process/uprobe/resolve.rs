//! Where programs' places are in files.

use std::collections::HashMap;
use std::rc::Rc;

use super::elf::Image;
use super::{Target, Use, insn, usdt};
use crate::process::point::{Function, Point, Site, When};

/// One program at some places of a file.
struct Wanted<'p> {
    file: &'p str,
    when: When,
    sites: Vec<Site>,
    /// Its places have cookies of their own.
    own_cookies: bool,
}

/// Files by the names that sections have for them.
#[derive(Default)]
struct Files(HashMap<String, Rc<Image>>);

impl Files {
    fn open(&mut self, name: &str) -> Result<Rc<Image>, String> {
        if let Some(image) = self.0.get(name) {
            return Ok(image.clone());
        }
        let image = Rc::new(Image::open(name)?);
        self.0.insert(name.to_owned(), image.clone());
        Ok(image)
    }
}

fn bare(offset: u64) -> Site {
    Site { offset, semaphore: None, cookie: 0 }
}

/// What a point wants of a file; `None` if it is none of a file.
fn wanted<'p>(point: &'p Point, files: &mut Files) -> Result<Option<Wanted<'p>>, String> {
    let one = |function: &'p Function, when, files: &mut Files| {
        let sites = vec![bare(files.open(&function.file)?.offset(function)?)];
        Ok(Some(Wanted { file: &function.file, when, sites, own_cookies: false }))
    };
    match point {
        Point::Function(function) => one(function, When::Entry, files),
        Point::Return(function) => one(function, When::Return, files),
        Point::Functions(function, when) => {
            let offsets = files.open(&function.file)?.offsets(function)?;
            let sites = offsets.into_iter().map(bare).collect();
            Ok(Some(Wanted { file: &function.file, when: *when, sites, own_cookies: false }))
        }
        Point::Usdt(probe) => {
            let probes = usdt::probes(&*files.open(&probe.file)?, probe)?;
            let sites = probes.into_iter().map(|probe| probe.site).collect();
            Ok(Some(Wanted { file: &probe.file, when: When::Entry, sites, own_cookies: false }))
        }
        Point::Sites(file, sites) => {
            let (when, sites) = (When::Entry, sites.clone());
            Ok(Some(Wanted { file, when, sites, own_cookies: true }))
        }
        _ => Ok(None),
    }
}

/// The places of these points with the programs at them; the error says which point is wrong,
/// and why.
pub(super) fn targets<'p>(
    points: impl Iterator<Item = &'p Point>,
) -> Result<Vec<Target>, (usize, String)> {
    let mut files = Files::default();
    let mut targets = Targets::default();
    for (index, point) in points.enumerate() {
        let wrong = |why| (index, why);
        let Some(wanted) = wanted(point, &mut files).map_err(wrong)? else { continue };
        let image = files.open(wanted.file).map_err(wrong)?;
        if wanted.when.back() && image.is_go() {
            return Err(wrong(image.wrong(
                "a Go program moves its stacks, so that returns of its functions cannot be \
                 watched; attach uprobes to their RET instructions (FUNC+OFFSET)",
            )));
        }
        let several = wanted.sites.len() > 1;
        for site in &wanted.sites {
            match targets.at(&image, site) {
                Ok(target) => target.add(index, &wanted, site),
                // Of many, those that can be watched are.
                Err(_) if several && matches!(point, Point::Functions(..)) => {}
                Err(why) => return Err(wrong(why)),
            }
        }
    }
    Ok(targets.list)
}

#[derive(Default)]
struct Targets {
    list: Vec<Target>,
    known: HashMap<((u64, u64), u64), usize>,
}

impl Targets {
    fn at(&mut self, image: &Rc<Image>, site: &Site) -> Result<&mut Target, String> {
        let key = (image.id, site.offset);
        let at = match self.known.get(&key) {
            Some(at) => *at,
            None => {
                let step = insn::step(image.code(site.offset))?;
                self.list.push(Target {
                    file: image.clone(),
                    offset: site.offset,
                    semaphore: None,
                    entry: Rc::default(),
                    back: Rc::default(),
                    step,
                    quick: None,
                });
                self.known.insert(key, self.list.len() - 1);
                self.list.len() - 1
            }
        };
        Ok(&mut self.list[at])
    }
}

impl Target {
    fn add(&mut self, program: usize, wanted: &Wanted<'_>, site: &Site) {
        self.semaphore = self.semaphore.or(site.semaphore);
        let session = wanted.when == When::Both;
        let cookie = wanted.own_cookies.then_some(site.cookie);
        let one = Use { program, cookie, session };
        if wanted.when.entry() {
            push(&mut self.entry, one);
        }
        if wanted.when.back() {
            push(&mut self.back, one);
        }
    }
}

fn push(list: &mut Rc<[Use]>, one: Use) {
    *list = list.iter().copied().chain([one]).collect();
}
