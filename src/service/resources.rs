//! Resources, registered at run time: made, read, changed, deleted.

use crate::audit::{Action, Deed};
use crate::records::registry::{Entry, Kind, Registry, Value};
use crate::service::Service;
use crate::service::registry::{ListRegistered, Registered, RegistryPage, judged, page_of, same_etag};
use jeton_domain::client::Client;
use jeton_domain::error::{Error, Result};
use jeton_domain::name::ResourceId;
use jeton_domain::resource::Resource;
use jeton_domain::secret::shown;
use std::sync::Arc;

/// A resource as it is known.
#[derive(Clone, Debug)]
pub struct ResourceState {
    /// The resource.
    pub resource: Arc<Resource>,
    /// None: it is of the configuration file.
    pub registered: Option<Registered>,
}

impl Service {
    /// Registers a resource.
    ///
    /// # Errors
    /// `RegistrationUnsound`, `RegistrationExists`, `RegistrationFixed`, `RegistryFull`, the store.
    pub async fn create_resource(&self, resource: Resource) -> Result<ResourceState> {
        let registry = self.fresh_registry().await?;
        not_of_file(&registry, &resource.id)?;
        Self::has_place(&registry)?;
        judged("resource", resource.problems(registry.resources()))?;
        let resource = Arc::new(resource);
        let entry = self
            .change_resource(Action::CreateResource, &resource.id, |entry| match entry.and_then(|entry| entry.value.as_ref()) {
                Some(_) => {
                    Err(Error::RegistrationExists(format!("resource `{}` is registered already", shown(resource.id.as_str()))))
                }
                None => Ok(Some(Value::Resource(Arc::clone(&resource)))),
            })
            .await?;
        Ok(ResourceState { resource, registered: Some(Registered::of(&entry)) })
    }

    /// One resource.
    ///
    /// # Errors
    /// `RegistrationUnknown`, the store.
    pub async fn get_resource(&self, id: &ResourceId) -> Result<ResourceState> {
        let registry = self.fresh_registry().await?;
        if let Some(resource) = registry.resource_of_file(id) {
            return Ok(ResourceState { resource: Arc::new(resource.clone()), registered: None });
        }
        let entry = registry.stored().entry(Kind::Resource, id.as_str());
        let (entry, resource) =
            entry.and_then(|entry| Some((entry, entry.value.as_ref()?.resource()?))).ok_or_else(|| unknown(id))?;
        Ok(ResourceState { resource: Arc::clone(resource), registered: Some(Registered::of(entry)) })
    }

    /// All resources, in pages.
    ///
    /// # Errors
    /// `Invalid` for a page token that is not ours, the store.
    pub async fn list_resources(&self, asked: &ListRegistered) -> Result<RegistryPage<ResourceState>> {
        let registry = self.fresh_registry().await?;
        let of_file = registry.resources_of_file().map(|resource| (resource.id.as_str(), (resource, None)));
        let others = registry.stored().all(Kind::Resource).filter_map(|(id, entry, value)| {
            let resource = value.resource().filter(|resource| registry.resource_of_file(&resource.id).is_none())?;
            Some((id, (resource, Some(entry))))
        });
        let page = page_of(asked, of_file.chain(others).collect())?;
        let state = |(resource, entry): (&Arc<Resource>, Option<&Entry>)| ResourceState {
            resource: Arc::clone(resource),
            registered: entry.map(Registered::of),
        };
        Ok(RegistryPage { entries: page.entries.into_iter().map(state).collect(), next: page.next })
    }

    /// Makes a resource what is said here, where it is as it was read.
    ///
    /// # Errors
    /// `RegistrationUnsound`, `RegistrationUnknown`, `RegistrationChanged`, `RegistrationFixed`, the store.
    pub async fn update_resource(&self, resource: Resource, etag: &str) -> Result<ResourceState> {
        let registry = self.fresh_registry().await?;
        not_of_file(&registry, &resource.id)?;
        judged("resource", resource.problems(registry.resources()))?;
        let resource = Arc::new(resource);
        let entry = self
            .change_resource(Action::UpdateResource, &resource.id, |entry| {
                let entry = entry.filter(|entry| entry.value.is_some()).ok_or_else(|| unknown(&resource.id))?;
                same_etag(entry, Some(etag), "the resource")?;
                Ok(Some(Value::Resource(Arc::clone(&resource))))
            })
            .await?;
        Ok(ResourceState { resource, registered: Some(Registered::of(&entry)) })
    }

    /// Deletes a resource that no client names, where it is as it was read. Safe to repeat.
    ///
    /// # Errors
    /// `RegistrationUnknown`, `RegistrationChanged`, `RegistrationFixed`, `RegistrationInUse`, the store.
    pub async fn delete_resource(&self, id: &ResourceId, etag: Option<&str>) -> Result<()> {
        let registry = self.fresh_registry().await?;
        not_of_file(&registry, id)?;
        if let Some(client) = naming(&registry, id) {
            let problem = format!("resource `{id}` is named by client `{}`: take it out of that first", client.id);
            return Err(Error::RegistrationInUse(problem));
        }
        self.change_resource(Action::DeleteResource, id, |entry| {
            let entry = entry.ok_or_else(|| unknown(id))?;
            if entry.value.is_some() {
                same_etag(entry, etag, "the resource")?;
            }
            Ok(None)
        })
        .await?;
        Ok(())
    }

    /// Changes a resource, and tells of it.
    async fn change_resource(
        &self,
        action: Action,
        id: &ResourceId,
        change: impl FnMut(Option<&Entry>) -> Result<Option<Value>>,
    ) -> Result<Entry> {
        let mut deed = self.deed(action).map(|deed| deed.text("resource", id.as_str()));
        let entry = Deed::while_doing(&mut deed, self.change_registered(Kind::Resource, id.as_str(), change)).await?;
        deed.into_iter().for_each(Deed::tell);
        Ok(entry)
    }
}

/// A client that names a resource, the first by its id.
fn naming<'a>(registry: &'a Registry, id: &ResourceId) -> Option<&'a Arc<Client>> {
    let all = registry.clients();
    all.filter(|client| client.resources.contains(id) || client.serves.contains(id)).min_by(|one, other| one.id.cmp(&other.id))
}

fn not_of_file(registry: &Registry, id: &ResourceId) -> Result<()> {
    match registry.resource_of_file(id) {
        Some(_) => {
            Err(Error::RegistrationFixed(format!("resource `{id}` is in the configuration file, and is changed there only")))
        }
        None => Ok(()),
    }
}

fn unknown(id: &ResourceId) -> Error {
    Error::RegistrationUnknown(format!("no resource `{}` is known", shown(id.as_str())))
}
